/**
 * The side that gives out reply blocks (04-client §4.13.1): which sender tag we use towards whom, and the keys by which the
 * answers are recognised. Both are in the store, so that answers to a killed client still reach it. Building a block is the
 * packet builder's work.
 */
import { type Random, toHex } from '@mixwright/runtime'
import { formatRecipient, type Recipient, type ReplySurb, replyKeyDigest, SENDER_TAG_BYTES } from '@mixwright/wire'
import type { ClientStore } from '../store/client-store.js'
import type { Journal } from '../store/journal.js'

/** Reply blocks given out of which the answers are still taken; the oldest are forgotten first. */
const MOST_KEYS = 200_000
/** Recipients whose tag is remembered; the one used longest ago is forgotten first. */
const MOST_TAGS = 20_000
/** An unanswered reply block is forgotten after this long. */
const KEY_AGE_MS = 24 * 3_600_000

const KEY_BYTES = 16

/** What answers by a reply block are known by. */
export interface ReplyKey {
  /** 16 bytes. */
  readonly key: Uint8Array
  /** Address to which the block was given; undefined when an earlier run gave it. */
  readonly givenTo: string | undefined
}

export class SurbIssuer {
  readonly #random: Random
  readonly #journal: Journal
  /** By digest in hexadecimal, oldest first. */
  readonly #keys = new Map<string, ReplyKey & { readonly givenAtMs: number }>()
  /** By the text of the recipient's address, used longest ago first. */
  readonly #tags = new Map<string, Uint8Array>()

  constructor(random: Random, journal: Journal) {
    this.#random = random
    this.#journal = journal
  }

  /** Take over what an earlier process stored; what is malformed is left out. */
  async restore(store: ClientStore): Promise<void> {
    const keys: [string, ReplyKey & { givenAtMs: number }][] = []
    for (const [digest, value] of await store.load('sent-reply-keys')) {
      if (value.length !== KEY_BYTES + 8) continue
      const givenAtMs = Number(new DataView(value.buffer, value.byteOffset).getBigUint64(KEY_BYTES))
      keys.push([digest, { key: value.slice(0, KEY_BYTES), givenTo: undefined, givenAtMs }])
    }
    keys.sort(([, a], [, b]) => a.givenAtMs - b.givenAtMs)
    for (const [digest, entry] of keys) this.#keys.set(digest, entry)
    for (const [recipient, tag] of await store.load('sender-tags'))
      if (tag.length === SENDER_TAG_BYTES) this.#tags.set(recipient, tag)
  }

  /** Keys of reply blocks that may still be answered. */
  get outstanding(): number {
    return this.#keys.size
  }

  /** Our tag towards a recipient; always the same, so that its reply blocks gather in one place. */
  tagFor(recipient: Recipient): Uint8Array {
    const text = formatRecipient(recipient)
    let tag = this.#tags.get(text)
    if (tag === undefined) {
      tag = this.#random.bytes(SENDER_TAG_BYTES)
      this.#journal.put('sender-tags', text, tag)
      if (this.#tags.size >= MOST_TAGS) {
        const [oldest] = this.#tags.keys()
        this.#tags.delete(oldest!)
        this.#journal.delete('sender-tags', oldest!)
      }
    } else this.#tags.delete(text)
    this.#tags.set(text, tag)
    return tag
  }

  /** The tag that we used towards a recipient; undefined when we never wrote to it. */
  knownTag(recipient: Recipient): Uint8Array | undefined {
    return this.#tags.get(formatRecipient(recipient))
  }

  /** A reply block goes out to an address: from now on its answer is recognised. */
  given({ encryptionKey }: ReplySurb, givenTo: string, nowMs: number): void {
    const digest = toHex(replyKeyDigest(encryptionKey))
    this.#keys.set(digest, { key: encryptionKey, givenTo, givenAtMs: nowMs })
    const value = new Uint8Array(KEY_BYTES + 8)
    value.set(encryptionKey)
    new DataView(value.buffer).setBigUint64(KEY_BYTES, BigInt(Math.floor(nowMs)))
    this.#journal.put('sent-reply-keys', digest, value)
    if (this.#keys.size > MOST_KEYS) this.#forget(this.#keys.keys().next().value!)
  }

  /** The key of an answer, by the digest in front of it (32 bytes). It is used up. */
  take(digest: Uint8Array): ReplyKey | undefined {
    const text = toHex(digest)
    const found = this.#keys.get(text)
    if (found !== undefined) this.#forget(text)
    return found
  }

  /** Forget what is too old to be answered; to be called now and then. */
  purge(nowMs: number): void {
    for (const [digest, { givenAtMs }] of this.#keys) {
      if (nowMs - givenAtMs < KEY_AGE_MS) return
      this.#forget(digest)
    }
  }

  #forget(digest: string): void {
    this.#keys.delete(digest)
    this.#journal.delete('sent-reply-keys', digest)
  }
}
