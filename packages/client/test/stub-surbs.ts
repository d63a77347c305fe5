/** Reply blocks that look right and lead nowhere, for tests that only keep them. */
import { encodeNodeAddress, HEADER_BYTES } from '@mixwright/sphinx'
import { encodeBase58, type ReplySurb } from '@mixwright/wire'

const firstHop = encodeNodeAddress({ family: 4, host: '127.0.0.1', port: 1789 }, 32)

/** Told apart by their encryption keys, which hold `number`. */
export function stubSurb(number: number): ReplySurb {
  const encryptionKey = new Uint8Array(16)
  new DataView(encryptionKey.buffer).setUint32(0, number)
  const keys = Array.from({ length: 4 }, () => new Uint8Array(16))
  return { encryptionKey, surb: { form: 'key-seeds', header: new Uint8Array(HEADER_BYTES), firstHop, keys } }
}

export function stubSurbs(count: number, from = 0): ReplySurb[] {
  return Array.from({ length: count }, (_, i) => stubSurb(from + i))
}

/** The number of a stub. */
export function numberOf({ encryptionKey }: ReplySurb): number {
  return new DataView(encryptionKey.buffer, encryptionKey.byteOffset).getUint32(0)
}

/** A sender tag's text. */
export function stubTag(number: number): string {
  const tag = new Uint8Array(16)
  new DataView(tag.buffer).setUint32(0, number)
  return encodeBase58(tag)
}
