// How a file travels: in parts, since a message has at most 32 MiB, each with one line of JSON in front that says what it is
// a part of. Every part says it all, because the mixnet keeps no order: any part may come first.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'

/** Bytes of a part. The client's queue holds a few of them. */
export const PART_BYTES = 1024 ** 2
/** Most parts of a file. */
const MOST_PARTS = 100_000

const NEWLINE = 0x0a

/** A message: name, bytes and SHA-256 of the file, which part (from 0), and its bytes. */
export function encodePart({ name, bytes, sha256, part }, body) {
  return Buffer.concat([Buffer.from(`${JSON.stringify({ name, bytes, sha256, part })}\n`), body])
}

/** The same again. Undefined when the message is no part of a file: it may come from anybody. */
export function decodePart(message) {
  const end = message.indexOf(NEWLINE)
  try {
    const { name, bytes, sha256, part } = JSON.parse(Buffer.from(message.subarray(0, end)).toString())
    const body = message.subarray(end + 1)
    const good =
      typeof name === 'string' &&
      /^[0-9a-f]{64}$/.test(sha256) &&
      Number.isInteger(part) &&
      part >= 0 &&
      part < partsOf(bytes) &&
      body.length === Math.min(PART_BYTES, bytes - part * PART_BYTES)
    return good ? { name, bytes, sha256, part, body } : undefined
  } catch {
    return undefined
  }
}

/** Parts of a file of so many bytes, at least one; 0 when that is no size of a file, or too large. */
export function partsOf(bytes) {
  const parts = Number.isInteger(bytes) && bytes >= 0 ? Math.max(1, Math.ceil(bytes / PART_BYTES)) : 0
  return parts <= MOST_PARTS ? parts : 0
}

/** SHA-256 of a file, in hex. */
export async function sha256Of(path) {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}
