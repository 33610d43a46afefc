/**
 * Keep one job at a time running: of what is asked for meanwhile only the last is run. Dragging a
 * slider so makes as many requests as the service answers, and the last position always counts.
 *
 * @template {unknown[]} A
 * @param {(...inputs: A) => Promise<void>} job must not reject
 * @returns {(...inputs: A) => Promise<void>} resolves when nothing is left to do
 */
export function keepLatest(job) {
  /** @type {A | null} */
  let waiting = null;
  /** @type {Promise<void> | null} */
  let running = null;

  async function work() {
    while (waiting) {
      const inputs = waiting;
      waiting = null;
      await job(...inputs);
    }
    running = null;
  }

  return (...inputs) => {
    waiting = inputs;
    running ??= work();
    return running;
  };
}
