/**
 * Conversations by reply blocks, both sides (04-client §4.13): asks for more where replies wait, answers such requests, asks
 * again, gives up, and renews after a rotation of keys. The pools and the issuer keep the state; this decides and sends.
 */
import { type Clock, MixError, type Timer } from '@mixwright/runtime'
import {
  encodeBase58,
  encodeNymMessage,
  formatRecipient,
  formatSenderTag,
  type KeyRotation,
  type Recipient,
  type ReplyContent,
  type ReplySurbs,
  rotationOfId,
} from '@mixwright/wire'
import {
  expectedKeyRotation,
  expectedRotation,
  isEpochStuck,
  rotationLifetimeMs,
  rotationStartMs,
} from '../directory/rotation-schedule.js'
import type { RotationSchedule, Topology } from '../directory/topology.js'
import type { PacketBuilder } from '../packet/packet-builder.js'
import { ADDITIONAL_SURBS_LANE, type Lanes, SURB_REQUEST_LANE } from '../send/lanes.js'
import type { Outbox } from '../send/outbox.js'
import type { SurbIssuer } from './surb-issuer.js'
import type { SurbPools } from './surb-pools.js'

/** Most blocks given for one request, and in one message of it. */
const MOST_GRANTED = 500
const SURBS_PER_MESSAGE = 100
/** Messages with more blocks on their way to one recipient at which further requests of it are ignored: it asks again. */
const MOST_GRANTS_UNDER_WAY = 20
export const REPLY_RETRANSMISSIONS = 10
/** Messages to an address, and more blocks for one: with the growing waits, about half an hour. */
export const MESSAGE_RETRANSMISSIONS = 40
const CHECK_MS = 5000

export interface ReplyControllerOptions {
  readonly clock: Clock
  readonly pools: SurbPools
  readonly issuer: SurbIssuer
  readonly lanes: Lanes
  readonly outbox: Outbox
  readonly builder: () => PacketBuilder
  readonly address: () => Recipient
  readonly topology: () => Topology | undefined
  readonly schedule: () => RotationSchedule
  /** Whether packets can be sent and received now. */
  readonly isOnline: () => boolean
  /** Something was dropped, for this reason. */
  readonly onDrop: (reason: string) => void
  /** Replies wait for blocks, or go on. */
  readonly onChange: (senderTag: string) => void
}

export class ReplyController {
  readonly #options: ReplyControllerOptions
  readonly #grantsUnderWay = new Map<string, number>()
  #timer: Timer | undefined
  #lastPurgeMs = Number.NEGATIVE_INFINITY

  constructor(options: ReplyControllerOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = this.#options.clock.setTimer(CHECK_MS, () => this.#check(), { background: true })
  }

  close(): void {
    this.#timer?.cancel()
  }

  /** Fresh reply blocks of ours for a recipient, recognised from now on; undefined while the network is unknown. */
  issue(count: number, to: string): ReplySurbs | undefined {
    const { clock, issuer } = this.#options
    const topology = this.#options.topology()
    if (topology === undefined || !this.#options.builder().isUsable(topology)) return undefined
    const surbs = Array.from({ length: count }, () => this.#options.builder().surb(topology))
    for (const surb of surbs) issuer.given(surb, to, clock.now())
    return { rotation: rotationOfId(topology.rotationId), surbs }
  }

  /** Reply blocks came with a message, or in answer to a request. */
  received(tag: Uint8Array, { surbs, rotation }: ReplySurbs, answersRequest: boolean): void {
    const { clock, lanes, pools } = this.#options
    const senderTag = formatSenderTag(tag)
    pools.received(senderTag, surbs, rotation, answersRequest, clock.now())
    lanes.reopen(senderTag)
    if (lanes.waitingFor(senderTag) === 0) return
    this.askIfShort(senderTag)
    this.#options.onChange(senderTag)
  }

  /** Replies were queued, or blocks used: ask for more if there are too few. */
  askIfShort(senderTag: string): void {
    const { lanes, pools } = this.#options
    const amount = pools.shortage(senderTag, lanes.waitingFor(senderTag))
    if (amount > 0) this.#request(senderTag, amount)
  }

  /**
   * A peer that holds our reply blocks asks for more. `givenTo`: the address that the block it used for this was given to, if that is
   * known: whoever asks with the blocks of one address gets none for another.
   */
  requested({ recipient, amount }: Extract<ReplyContent, { kind: 'surb-request' }>, givenTo: string | undefined): void {
    const { issuer, onDrop } = this.#options
    const tag = issuer.knownTag(recipient)
    const text = formatRecipient(recipient)
    if (tag === undefined || (givenTo !== undefined && givenTo !== text)) return onDrop('surb-request-of-stranger')
    let left = Math.min(amount, MOST_GRANTED)
    while (left > 0) {
      const underWay = this.#grantsUnderWay.get(text) ?? 0
      if (underWay >= MOST_GRANTS_UNDER_WAY) return onDrop('surb-request-too-soon')
      this.#grantsUnderWay.set(text, underWay + 1)
      const count = Math.min(left, SURBS_PER_MESSAGE)
      left -= count
      this.#options.outbox.submit({
        destination: { kind: 'recipient', recipient, gateway: encodeBase58(recipient.gateway) },
        lane: ADDITIONAL_SURBS_LANE,
        bytes: 460 * count,
        build: () => {
          const surbs = this.issue(count, text)
          if (surbs === undefined) return undefined
          return encodeNymMessage({ kind: 'repliable', senderTag: tag, content: { kind: 'additional-surbs', surbs } })
        },
        maximumRetransmissions: MESSAGE_RETRANSMISSIONS,
        onEnd: () => this.#granted(text),
      })
    }
  }

  /** The network's keys have rotated: blocks in hand are used only when nothing else is there, and asked for anew. */
  rotated(): void {
    for (const advice of this.#options.pools.rotated())
      if (advice.kind === 'request') this.#request(advice.senderTag, advice.amount)
  }

  #granted(recipient: string): void {
    const left = (this.#grantsUnderWay.get(recipient) ?? 1) - 1
    if (left === 0) this.#grantsUnderWay.delete(recipient)
    else this.#grantsUnderWay.set(recipient, left)
  }

  #request(senderTag: string, amount: number): void {
    const { outbox, pools, address } = this.#options
    pools.requested(senderTag, amount)
    outbox.submit({
      destination: { kind: 'sender-tag', senderTag, purpose: 'surb-request' },
      lane: SURB_REQUEST_LANE,
      bytes: 102,
      build: () => encodeNymMessage({ kind: 'reply', content: { kind: 'surb-request', recipient: address(), amount } }),
      maximumRetransmissions: REPLY_RETRANSMISSIONS,
      onEnd: ({ kind }) => {
        if (kind === 'failed') pools.requested(senderTag, -amount)
      },
    })
  }

  #check(): void {
    const { clock, issuer, lanes, pools, isOnline } = this.#options
    this.start()
    const advices = isOnline() ? pools.check(lanes.waitingByTag(), CHECK_MS) : []
    for (const advice of advices) {
      if (advice.kind === 'request') this.#request(advice.senderTag, advice.amount)
      else this.#giveUp(advice.senderTag)
    }
    issuer.purge(clock.now())
    this.#purgeSurbs()
  }

  /** Fail what waits for a tag that gives no more blocks. */
  #giveUp(senderTag: string): void {
    const { outbox, onChange } = this.#options
    const text = 'The sender gave no more reply blocks in time: it may be gone.'
    const reason = new MixError('MIX_REPLY_NO_SURBS', text, { kind: 'peer', retry: true, data: { senderTag } })
    outbox.giveUpReplies(senderTag, reason)
    onChange(senderTag)
  }

  /** Every eighth of an epoch: drop the blocks that no node opens any more (04-client §4.13.3). */
  #purgeSurbs(): void {
    const { clock, pools } = this.#options
    const schedule = this.#options.schedule()
    const topology = this.#options.topology()
    if (topology === undefined || clock.monotonic() - this.#lastPurgeMs < schedule.epochMs / 8) return
    this.#lastPurgeMs = clock.monotonic()
    const now = clock.now()
    if (isEpochStuck(schedule, topology)) return pools.purge(now - rotationLifetimeMs(schedule), () => false)
    const start = rotationStartMs(schedule, expectedRotation(schedule, now))
    const current = expectedKeyRotation(schedule, now)
    // In the first epoch of a rotation, nodes still open what was made for the one before.
    const overlap = now <= start + schedule.epochMs
    const isOld = (rotation: KeyRotation, isStale: boolean) => (rotation === 0 ? isStale : rotation !== current)
    pools.purge(start - schedule.epochMs, ({ rotation }, isStale) => !overlap && isOld(rotation, isStale))
  }
}
