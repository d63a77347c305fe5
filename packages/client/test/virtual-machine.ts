/**
 * The computer of a client in a `VirtualMixnet`: its clock, which stops while it sleeps, its link to a gateway, which can be
 * cut, its store; and how all of it is started, killed and started again.
 *
 * A gateway notices at once when a machine is gone, and keeps messages in the mailbox from then on: what it writes into a
 * dead connection meanwhile is lost for every client of this protocol. The machine notices as late as on a real socket.
 */
import assert from 'node:assert/strict'
import type { Clock, MixError, Timer, VirtualClock } from '@mixwright/runtime'
import { type MixPacket, parseRecipient } from '@mixwright/wire'
import type { Client, ClientEvents, ConnectOptions, ReceivedMessage } from '../src/api.js'
import { connectOn } from '../src/connect.js'
import type { GatewayDoor, GatewayLink, GatewayLinkEvents } from '../src/gateway/gateway-link.js'
import { PROFILES } from '../src/profile.js'
import type { ClientStore } from '../src/store/client-store.js'
import { memoryStore } from '../src/store/memory-store.js'
import { away, type Gateway, type Receiver, type VirtualMixnet } from './virtual-mixnet.js'

/** After a packet to which nothing comes back, after a probe, and where nothing is sent, milliseconds; see `websocket-link.ts`. */
const SILENCE_MS = 15_000
const PROBE_MS = 5_000
const QUIET_MS = 65_000
/** No timer is more exact; shorter times would drown in rounding, and never pass. */
const RESOLUTION_MS = 1e-3

interface Alarm {
  /** By the machine's monotonic clock. */
  readonly due: number
  readonly action: () => void
  timer: Timer | undefined
}

/** The clock of a machine that can sleep: no timer fires meanwhile, and `monotonic()` stands still or goes on. */
export class MachineClock implements Clock {
  readonly #world: VirtualClock
  readonly #held = new Set<Alarm>()
  #sleep: { readonly since: number; readonly monotonic: 'stops' | 'goes-on' } | undefined
  #sleptMs = 0
  #dead = false

  constructor(world: VirtualClock) {
    this.#world = world
  }

  now(): number {
    return this.#world.now()
  }

  monotonic(): number {
    const world = this.#sleep?.monotonic === 'stops' ? this.#sleep.since : this.#world.monotonic()
    return world - this.#sleptMs
  }

  setTimer(delayMs: number, action: () => void): Timer {
    const alarm: Alarm = { due: this.monotonic() + Math.max(0, delayMs || 0), action, timer: undefined }
    this.#arm(alarm)
    return {
      cancel: () => {
        alarm.timer?.cancel()
        this.#held.delete(alarm)
      },
    }
  }

  sleep(monotonic: 'stops' | 'goes-on'): void {
    this.#sleep = { since: this.#world.monotonic(), monotonic }
  }

  wake(): void {
    if (this.#sleep?.monotonic === 'stops') this.#sleptMs += this.#world.monotonic() - this.#sleep.since
    this.#sleep = undefined
    const held = [...this.#held].sort((a, b) => a.due - b.due)
    this.#held.clear()
    for (const alarm of held) this.#arm(alarm)
  }

  /** No timer fires any more. */
  kill(): void {
    this.#dead = true
  }

  #arm(alarm: Alarm): void {
    const delayMs = alarm.due - this.monotonic()
    alarm.timer = this.#world.setTimer(delayMs > 0 ? Math.max(delayMs, RESOLUTION_MS) : 0, () => {
      if (this.#dead) return
      if (this.#sleep) this.#held.add(alarm)
      else if (alarm.due > this.monotonic()) this.#arm(alarm)
      else alarm.action()
    })
  }
}

class Link implements GatewayLink, Receiver {
  readonly #machine: Machine
  readonly #clock: Clock
  readonly #events: GatewayLinkEvents
  readonly #stopListening: () => void
  /** `dead`: the other side has gone, and this one does not know. */
  #state: 'live' | 'dead' | 'closed' = 'live'
  #noticing: Timer | undefined
  #noticedAtMs = Number.POSITIVE_INFINITY

  constructor(machine: Machine, events: GatewayLinkEvents) {
    this.#machine = machine
    this.#clock = machine.clock
    this.#events = events
    this.#stopListening = machine.gateway.onDown(() =>
      this.end(away('MIX_GATEWAY_CLOSED', 'The gateway ended the connection.')),
    )
  }

  get unsentBytes(): number {
    return this.#machine.unsentBytes
  }

  send(packet: MixPacket): void {
    if (this.#state === 'closed') return
    this.#machine.sent++
    this.#machine.onSend?.(packet)
    if (this.#state === 'live') return this.#machine.mixnet.send(packet)
    this.#machine.mixnet.swallow('dead-link')
    this.#noticeWithin(SILENCE_MS)
  }

  probe(): void {
    if (this.#state === 'dead') this.#noticeWithin(PROBE_MS)
  }

  close(): void {
    queueMicrotask(() => this.end(away('MIX_GATEWAY_LEFT', 'We hung up.')))
  }

  push(message: Uint8Array): void {
    if (this.#state === 'closed') return
    if (message.length === 21) this.#machine.pushedAcks++
    else this.#machine.pushedData++
    this.#events.received(message)
  }

  /** Nothing comes through any more. */
  cut(): void {
    if (this.#state !== 'live') return
    this.#state = 'dead'
    this.#noticeWithin(QUIET_MS)
  }

  end(reason: MixError): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#noticing?.cancel()
    this.#stopListening()
    this.#machine.left(this)
    this.#events.closed(reason)
  }

  #noticeWithin(ms: number): void {
    const atMs = this.#clock.monotonic() + ms
    if (atMs >= this.#noticedAtMs) return
    this.#noticing?.cancel()
    this.#noticedAtMs = atMs
    this.#noticing = this.#clock.setTimer(ms, () => this.end(away('MIX_GATEWAY_SILENT', 'No sign of life.')))
  }
}

/** How a client is started; what its machine does not provide. */
export type StartOptions = Omit<ConnectOptions, 'directory' | 'store' | 'clock' | 'random' | 'door'> & {
  /** Whether an app takes the messages that come. @default true */
  readonly takeMessages?: boolean
}

export class Machine {
  readonly mixnet: VirtualMixnet
  readonly gateway: Gateway
  readonly store: ClientStore
  clock: MachineClock
  /** What the link says that it has not passed on. */
  unsentBytes = 0
  /** Packets handed to the link; messages, and acks, that the gateway pushed. */
  sent = 0
  pushedData = 0
  pushedAcks = 0
  /** Sees what goes to the link, before anything else. */
  onSend: ((packet: MixPacket) => void) | undefined
  /** What the app took, and what the client told; of all clients that ran here. */
  readonly received: ReceivedMessage[] = []
  readonly links: (ClientEvents['gateway'] & { readonly atMs: number })[] = []
  readonly topologies: ClientEvents['topology'][] = []
  readonly messages: ClientEvents['message'][] = []
  readonly replies: ClientEvents['replies'][] = []
  readonly #name: string
  #online = true
  #link: Link | undefined
  /** Identity of the client in hexadecimal, once it is known. */
  #destination: string | undefined
  #starts = 0

  constructor(mixnet: VirtualMixnet, name: string, gateway = mixnet.gateways[0]!, store?: ClientStore) {
    this.mixnet = mixnet
    this.#name = name
    this.gateway = gateway
    this.store = store ?? memoryStore({ persistent: true })
    this.clock = new MachineClock(mixnet.clock)
  }

  /** Start a client; with what an earlier one left in the store. */
  async start({ takeMessages = true, ...options }: StartOptions = {}): Promise<Client> {
    const { mixnet, store, clock } = this
    const platform = {
      openWebSocket: () => assert.fail('there are no websockets here'),
      loadCrypto: async () => mixnet.crypto,
      preferTls: false,
    }
    const random = mixnet.random.fork(`${this.#name} ${this.#starts++}`)
    const door: GatewayDoor = { gateway: this.gateway.identity, connect: (events) => this.#connect(events) }
    const profile = PROFILES['no-cover']
    const opening = connectOn(platform, { profile, ...options, directory: mixnet, store, clock, random, door })
    const client = await mixnet.during(opening)
    client.on('gateway', (event) => this.links.push({ ...event, atMs: mixnet.clock.monotonic() }))
    client.on('topology', (event) => this.topologies.push(event))
    client.on('message', (event) => this.messages.push(event))
    client.on('replies', (event) => this.replies.push(event))
    if (takeMessages) void this.#takeAll(client)
    this.#destination = Buffer.from(parseRecipient(client.address, () => true)!.identity).toString('hex')
    if (this.#link) this.gateway.attach(this.#destination, this.#link)
    return client
  }

  /** The process ends on the spot, without a word. Nothing of it runs any more; the store stays as it is. */
  kill(): void {
    this.clock.kill()
    this.cut()
    this.#link = undefined
    this.clock = new MachineClock(this.mixnet.clock)
    this.#online = true
  }

  /** Push something as the gateway would. */
  push(message: Uint8Array): void {
    assert.ok(this.#link, 'there is no link')
    this.#link.push(message)
  }

  /** Nothing goes out and nothing comes in until `restore`. */
  cut(): void {
    this.#online = false
    if (this.#link === undefined) return
    this.#link.cut()
    this.gateway.detach(this.#destination!, this.#link)
  }

  restore(): void {
    this.#online = true
  }

  /** Like `cut`, and no timer fires; what the monotonic clock does meanwhile differs between systems. */
  sleep(monotonic: 'stops' | 'goes-on'): void {
    this.cut()
    this.clock.sleep(monotonic)
  }

  wake(): void {
    this.restore()
    this.clock.wake()
  }

  /** A link has ended. */
  left(link: Link): void {
    if (this.#destination !== undefined) this.gateway.detach(this.#destination, link)
    if (this.#link === link) this.#link = undefined
  }

  async #connect(events: GatewayLinkEvents): Promise<GatewayLink> {
    if (!this.#online || this.gateway.isDown) throw away('MIX_GATEWAY_UNREACHABLE', 'The gateway cannot be reached.')
    const link = new Link(this, events)
    this.#link = link
    if (this.#destination !== undefined) this.gateway.attach(this.#destination, link)
    return link
  }

  async #takeAll(client: Client): Promise<void> {
    for await (const message of client.messages()) this.received.push(message)
  }
}
