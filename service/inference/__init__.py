"""Operations on arrays: checks shapes, chunks, runs, names the results. No HTTP, no files."""
