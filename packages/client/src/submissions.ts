/** From what an app asks for to what the outbox takes: arguments are checked at once, the rest is made when the data is there. */
import { MixError } from '@mixwright/runtime'
import { encodeBase58, encodeNymMessage, formatRecipient } from '@mixwright/wire'
import type { SendOptions } from './api.js'
import { checkedAddress, checkedReplySurbs, checkedTag, laneName } from './arguments.js'
import { MESSAGE_RETRANSMISSIONS, REPLY_RETRANSMISSIONS, type ReplyController } from './replies/reply-controller.js'
import type { SurbIssuer } from './replies/surb-issuer.js'
import type { SurbPools } from './replies/surb-pools.js'
import type { Submission } from './send/outbox.js'

/** Of a reply block inside a message. */
const REPLY_SURB_BYTES = 460

/** Makes the submission of the data; throws `MIX_REPLY_EMPTY`. */
export type WithData = (data: Uint8Array) => Submission

/** A message to an address. Errors: `MIX_ADDRESS`, `MIX_REPLY_SURBS`, `MIX_LANE`. */
export function messageTo(
  to: string,
  { replySurbs = 0, anonymous = replySurbs > 0, lane, signal }: SendOptions,
  { replies, issuer }: { readonly replies: ReplyController; readonly issuer: SurbIssuer },
): WithData {
  const recipient = checkedAddress(to)
  const surbCount = checkedReplySurbs(replySurbs, anonymous)
  const common = {
    destination: { kind: 'recipient', recipient, gateway: encodeBase58(recipient.gateway) },
    lane: laneName(lane),
    maximumRetransmissions: MESSAGE_RETRANSMISSIONS,
    signal,
  } as const
  if (!anonymous)
    return (data) => ({ ...common, bytes: data.length, build: () => encodeNymMessage({ kind: 'plain', data }) })
  return (data) => ({
    ...common,
    bytes: data.length + REPLY_SURB_BYTES * surbCount,
    build: () => {
      const surbs = replies.issue(surbCount, formatRecipient(recipient))
      if (surbs === undefined) return undefined
      const senderTag = issuer.tagFor(recipient)
      return encodeNymMessage({ kind: 'repliable', senderTag, content: { kind: 'data', surbs, data } })
    },
  })
}

/** An answer to an anonymous sender. Errors: `MIX_REPLY_NO_TAG`, `MIX_LANE`. */
export function replyTo(
  senderTag: string,
  { lane, signal }: Pick<SendOptions, 'lane' | 'signal'>,
  pools: SurbPools,
): WithData {
  const common = {
    destination: {
      kind: 'sender-tag',
      senderTag: checkedTag(senderTag, (tag) => pools.isKnown(tag)),
      purpose: 'data',
    },
    lane: laneName(lane),
    maximumRetransmissions: REPLY_RETRANSMISSIONS,
    signal,
  } as const
  return (data) => {
    if (data.length === 0) throw new MixError('MIX_REPLY_EMPTY', 'A reply has at least one byte.', { kind: 'usage' })
    const build = () => encodeNymMessage({ kind: 'reply', content: { kind: 'data', data } })
    return { ...common, bytes: data.length, build }
  }
}
