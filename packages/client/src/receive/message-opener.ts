/**
 * What the gateway pushed, opened (04-client §4.7, §4.10): an ack of ours, our own cover, or a fragment, encrypted to us or
 * by the key of a reply block that we gave out. Anything else is dropped for a named reason.
 */
import type { CryptoProvider } from '@mixwright/sphinx'
import {
  ACK_MESSAGE_BYTES,
  decodeFragment,
  deriveFragmentKey,
  type Fragment,
  type FragmentIdentifier,
  isCover,
  openAck,
  splitPushedMessage,
} from '@mixwright/wire'
import type { ClientKeys } from '../client-keys.js'
import type { ReplyKey } from '../replies/surb-issuer.js'

export type OpenedMessage =
  | { readonly kind: 'ack'; readonly identifier: FragmentIdentifier }
  | { readonly kind: 'cover-ack' }
  | { readonly kind: 'cover' }
  /** `givenTo`: see `ReplyKey`; undefined also when it was encrypted to our address. */
  | { readonly kind: 'fragment'; readonly fragment: Fragment; readonly givenTo: string | undefined }
  | { readonly kind: 'dropped'; readonly reason: 'invalid-ack' | 'too-short' | 'low-order-key' | 'no-fragment' }

/** Gives, and uses up, the key of a reply block by its digest (32 bytes). */
export type TakeReplyKey = (digest: Uint8Array) => ReplyKey | undefined

/** Never throws. */
export function openMessage(
  crypto: CryptoProvider,
  keys: ClientKeys,
  takeReplyKey: TakeReplyKey,
  message: Uint8Array,
): OpenedMessage {
  if (message.length === ACK_MESSAGE_BYTES) {
    const identifier = openAck(keys.ackKey, message)
    if (identifier === undefined) return { kind: 'dropped', reason: 'invalid-ack' }
    return identifier.setId === 0 ? { kind: 'cover-ack' } : { kind: 'ack', identifier }
  }
  const parts = splitPushedMessage(message)
  if (parts === undefined) return { kind: 'dropped', reason: 'too-short' }
  const { keyField, ciphertext } = parts
  const replyKey = takeReplyKey(keyField)
  let key = replyKey?.key
  if (key === undefined) {
    const shared = crypto.x25519(keys.encryptionSecret, keyField)
    if (shared === undefined) return { kind: 'dropped', reason: 'low-order-key' }
    key = deriveFragmentKey(shared)
  }
  const plaintext = crypto.aes128Ctr(key, ciphertext)
  if (isCover(plaintext)) return { kind: 'cover' }
  const fragment = decodeFragment(plaintext)
  if (fragment === undefined) return { kind: 'dropped', reason: 'no-fragment' }
  return { kind: 'fragment', fragment, givenTo: replyKey?.givenTo }
}
