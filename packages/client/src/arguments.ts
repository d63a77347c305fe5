/** What apps hand to `send` and `reply`, checked before anything else: names of lanes, addresses, tags, numbers of reply blocks. */
import { MixError } from '@mixwright/runtime'
import { parseRecipient, parseSenderTag, type Recipient } from '@mixwright/wire'
import { GENERAL_LANE } from './send/lanes.js'

/** Most reply blocks of one message: 140 packets. */
export const MOST_REPLY_SURBS = 500
const LARGEST_LANE = 2n ** 64n - 1n

/** `general`, or the name of an app's lane. Error: `MIX_LANE`. */
export function laneName(lane: bigint | number | undefined): string {
  if (lane === undefined) return GENERAL_LANE
  const isInteger = typeof lane === 'bigint' || Number.isSafeInteger(lane)
  if (!isInteger || lane < 0 || BigInt(lane) > LARGEST_LANE)
    throw new MixError('MIX_LANE', 'A lane is a whole number from 0 to 2^64 − 1.', { kind: 'usage' })
  return `connection:${lane}`
}

/** Error: `MIX_ADDRESS`. Whether its keys are points of the curve does not matter: nobody computes with them. */
export function checkedAddress(address: string): Recipient {
  const recipient = typeof address === 'string' ? parseRecipient(address, () => true) : undefined
  if (recipient !== undefined) return recipient
  const message = 'An address looks like identity.encryption@gateway, three base58 keys of 32 bytes.'
  throw new MixError('MIX_ADDRESS', message, { kind: 'usage', data: { address: String(address).slice(0, 200) } })
}

/** Error: `MIX_REPLY_SURBS`, also for reply blocks with a message that is not anonymous: there is no place for them. */
export function checkedReplySurbs(replySurbs: number, isAnonymous: boolean): number {
  const most = isAnonymous ? MOST_REPLY_SURBS : 0
  if (Number.isInteger(replySurbs) && replySurbs >= 0 && replySurbs <= most) return replySurbs
  const message = `A message carries 0 to ${MOST_REPLY_SURBS} reply blocks, and any at all only when it is anonymous.`
  throw new MixError('MIX_REPLY_SURBS', message, { kind: 'usage', data: { replySurbs } })
}

/** `isKnown`: reply blocks came under it. Error: `MIX_REPLY_NO_TAG`. */
export function checkedTag(senderTag: string, isKnown: (senderTag: string) => boolean): string {
  if (typeof senderTag === 'string' && parseSenderTag(senderTag) !== undefined && isKnown(senderTag)) return senderTag
  const message =
    senderTag === ''
      ? 'This message has no sender tag: its sender cannot be answered.'
      : 'No reply blocks ever came under this sender tag.'
  throw new MixError('MIX_REPLY_NO_TAG', message, { kind: 'usage', data: { senderTag } })
}
