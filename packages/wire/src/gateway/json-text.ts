/** Reading the JSON of a text message: bounded, and without exceptions. */

/** Longest text read, characters. The largest legitimate one is an ecash credential of some tens of kilobytes. */
const MAX_TEXT_LENGTH = 262_144

/** The value of a JSON text; undefined when it is none or too long. */
export function parseJsonText(text: string): unknown {
  if (text.length > MAX_TEXT_LENGTH) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
