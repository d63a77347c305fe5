/** AES of single blocks in browsers, `#aes-blocks` of this package where the `browser` condition holds. */
import { ecb } from '@noble/ciphers/aes.js'

/** Each 16-byte block of `blocks` encrypted alone, under a key of 16 or 32 bytes. */
export function encryptBlocks(key: Uint8Array, blocks: Uint8Array): Uint8Array {
  return ecb(key, { disablePadding: true }).encrypt(blocks)
}
