/** AES of single blocks in Node.js, `#aes-blocks` of this package without a bundler: by the processor's own instructions. */
import { createCipheriv } from 'node:crypto'

/** Each 16-byte block of `blocks` encrypted alone, under a key of 16 or 32 bytes. */
export function encryptBlocks(key: Uint8Array, blocks: Uint8Array): Uint8Array {
  const cipher = createCipheriv(key.length === 32 ? 'aes-256-ecb' : 'aes-128-ecb', key, null)
  return cipher.update(blocks)
}
