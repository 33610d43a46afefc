/** A call written down as a shell command and as Python, to be pasted as it stands. */

/** @typedef {import("./api.js").Call} Call */

/**
 * @param {URL} url where the call goes
 * @param {Call} call
 * @param {boolean} needsKey
 */
export function toCurl(url, call, needsKey) {
  const lines = [`curl -sf -X POST ${quote(url.href)}`];
  if (needsKey) lines.push('-H "Authorization: Bearer $LATENTD_KEY"');
  if (call.body) {
    lines.push("-H 'Content-Type: application/json'", `-d ${quote(JSON.stringify(call.body))}`);
  }
  return `${lines.join(" \\\n  ")}\n`;
}

/** @param {string} text @returns {string} one word of a shell command */
const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * @param {URL} url where the call goes
 * @param {Call} call
 * @param {boolean} needsKey
 */
export function toPython(url, call, needsKey) {
  const lines = [
    ...(needsKey ? ["import os", ""] : []),
    "import httpx",
    "",
    "answer = httpx.post(",
    `    ${JSON.stringify(url.origin + url.pathname)},`,
    `    params=${spell(call.query)},`,
    ...(call.body ? [`    json=${spell(call.body)},`] : []),
    ...(needsKey ? ['    headers={"Authorization": f"Bearer {os.environ[\'LATENTD_KEY\']}"},'] : []),
    ")",
    "answer.raise_for_status()",
    "print(answer.json())",
    "",
  ];
  return lines.join("\n");
}

/**
 * JSON of text, numbers and lists is Python too.
 * @param {object} value
 */
const spell = (value) => JSON.stringify(value).replaceAll(/("(?:[^"\\]|\\.)*")|([,:])/g, (_, text, sign) => text ?? `${sign} `);
