/**
 * The engine below `createFetch`, the SOCKS5 door and the HTTP proxy: connections to the world through network requesters
 * (06-service-providers §2). Chooses a requester for each host and another when one fails, hands answers to their connections, and
 * asks silent requesters whether they live, so that nothing hangs. One connection is `tunnel.ts`, what is known of a requester
 * `requester-state.ts`.
 */
import { type Clock, MixError, type Random, RealClock, SystemRandom, type Timer, uniform } from '@mixwright/runtime'
import {
  CURRENT_VERSIONS,
  decodeProviderResponse,
  encodeProviderRequest,
  type ProviderRequest,
  type ProviderResponse,
  parseRecipient,
} from '@mixwright/wire'
import type { ArrivedMessage, Client } from '../api.js'
import { whenAborted } from '../when-aborted.js'
import type { Exit, ExitConnection, ExitConnectOptions, ExitOptions, ExitTarget, RequesterReport } from './exit-api.js'
import { exitError, isWorthAnother } from './exit-error.js'
import { RequesterState } from './requester-state.js'
import { Tunnel, type TunnelRequest } from './tunnel.js'

const CONNECT_TIMEOUT_MS = 30_000
const SILENCE_MS = 30_000
const CONNECTIONS = 512
const TICK_MS = 1000
/** How long the first of several requesters is waited for when none is known to live. */
const FIRST_ANSWER_MS = 10_000
/** Of the requesters that the directory lists, so many are taken. */
const MOST_REQUESTERS = 16
/** So many of them are tried for one connection. */
const MOST_ATTEMPTS = 3
/** Ids of ended connections, whose late messages nobody is to see. */
const ENDED_IDS = 4096
const LONGEST_HOST = 255

/** Open an exit over a client, which stays the caller's. Nothing is sent before the first connection. */
export function openExit(client: Client, options: ExitOptions = {}): Exit {
  return new ClientExit(client, options)
}

/** Somebody waits for what a requester says about itself. */
type Asker = (answer: Extract<ProviderResponse, { kind: 'control' }>['answer']) => void

class ClientExit implements Exit {
  readonly #client: Client
  readonly #options: ExitOptions
  readonly #clock: Clock
  readonly #random: Random
  readonly #anonymous: boolean
  readonly #tunnels = new Map<bigint, Tunnel>()
  readonly #ended = new Set<bigint>()
  readonly #requesters = new Map<string, RequesterState>()
  /** By requester. */
  readonly #askers = new Map<string, Set<Asker>>()
  /** Connections that wait for one to end. */
  readonly #waiting: (() => void)[] = []
  /** When a connection of a requester was last used. */
  readonly #usedMs = new Map<string, number>()
  readonly #stops: (() => void)[]
  #finding: Promise<void> | undefined
  #timer: Timer | undefined
  #closed = false

  constructor(client: Client, options: ExitOptions) {
    this.#client = client
    this.#options = options
    this.#clock = options.clock ?? new RealClock()
    this.#random = options.random ?? new SystemRandom()
    this.#anonymous = options.anonymous ?? true
    const named = typeof options.requester === 'string' ? [options.requester] : (options.requester ?? [])
    for (const address of named) {
      if (parseRecipient(address, () => true) === undefined)
        throw new MixError('MIX_ADDRESS', `The requester ${address} is no address.`, {
          kind: 'usage',
          data: { address },
        })
      this.#requesters.set(address, new RequesterState(address))
    }
    this.#stops = [
      client.intercept((message) => this.#take(message)),
      client.on('gateway', ({ state }) => this.#onGateway(state)),
    ]
  }

  get requesters(): readonly string[] {
    return this.#inOrder('').map(({ address }) => address)
  }

  async connect(target: ExitTarget, options: ExitConnectOptions = {}): Promise<ExitConnection> {
    checkTarget(target)
    const { signal, eager = false } = options
    signal?.throwIfAborted()
    await this.#slot(signal)
    await this.#find(signal)
    for (let attempt = 1; ; attempt++) {
      const requester = this.#inOrder(target.host)[0]
      if (requester === undefined) throw exitError('MIX_EXIT_NONE', NO_REQUESTER)
      const tunnel = this.#open(target, requester, signal)
      if (eager) return tunnel
      try {
        await tunnel.opened
        return tunnel
      } catch (error) {
        signal?.throwIfAborted()
        const isLast = attempt >= Math.min(MOST_ATTEMPTS, this.#requesters.size)
        if (isLast || this.#closed || !isWorthAnother(error)) throw error
        await this.#slot(signal)
      }
    }
  }

  async reports(signal?: AbortSignal): Promise<readonly RequesterReport[]> {
    await this.#find(signal)
    const asked = await Promise.all([...this.#requesters.values()].map((requester) => this.#report(requester, signal)))
    return asked.filter((report) => report !== undefined).sort((a, b) => a.answeredInMs - b.answeredInMs)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const reason = exitError('MIX_EXIT_CLOSED', 'The exit was closed.', 'usage')
    for (const tunnel of [...this.#tunnels.values()]) tunnel.fail(reason)
    for (const stop of this.#stops) stop()
    this.#timer?.cancel()
    for (const go of this.#waiting.splice(0)) go()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // Requesters.

  /** Find out which requesters there are and, where it is open which one lives, wait for the first that answers. */
  async #find(signal?: AbortSignal): Promise<void> {
    if (this.#requesters.size === 0) {
      this.#finding ??= this.#readDirectory().finally(() => {
        this.#finding = undefined
      })
      await orAborted(this.#finding, signal)
    }
    const states = [...this.#requesters.values()]
    if (states.length < 2 || states.some((state) => state.rank(this.#clock.monotonic()) === 0)) return
    const first = this.#firstAnswer(states)
    await orAborted(first, signal)
  }

  async #readDirectory(): Promise<void> {
    const listed = await this.#client.requesters()
    const addresses = listed.map(({ address }) => address)
    shuffle(addresses, this.#random)
    for (const address of addresses.slice(0, MOST_REQUESTERS))
      this.#requesters.set(address, new RequesterState(address))
  }

  #firstAnswer(states: readonly RequesterState[]): Promise<void> {
    return new Promise((resolve) => {
      const finish = () => {
        timer.cancel()
        for (const stop of stops) stop()
        resolve()
      }
      const timer = this.#clock.setTimer(FIRST_ANSWER_MS, finish)
      const stops = states.map((state) => this.#ask(state, 'health', finish))
    })
  }

  /** Best first, those that refuse the host last. */
  #inOrder(host: string): RequesterState[] {
    const nowMs = this.#clock.monotonic()
    const rank = (state: RequesterState) => (state.refuses(host, nowMs) ? 3 : 0) + state.rank(nowMs)
    return [...this.#requesters.values()].sort((a, b) => rank(a) - rank(b))
  }

  /** Returns how to stop listening for the answer. */
  #ask(requester: RequesterState, question: 'health' | 'binary-info', answered: Asker): () => void {
    const askers = this.#askers.get(requester.address) ?? new Set()
    this.#askers.set(requester.address, askers)
    askers.add(answered)
    this.#question(requester, question)
    return () => askers.delete(answered)
  }

  #question(requester: RequesterState, question: 'health' | 'binary-info'): void {
    requester.asked(this.#clock.monotonic())
    const { interface: interfaceVersion } = CURRENT_VERSIONS
    const request = { kind: 'control', interfaceVersion: Number(interfaceVersion), request: question } as const
    // Control answers come by reply blocks only, also to those who give their address otherwise.
    this.#client.send(requester.address, encodeProviderRequest(request), { replySurbs: requester.surbsFor('question') })
  }

  #report(requester: RequesterState, signal: AbortSignal | undefined): Promise<RequesterReport | undefined> {
    const { address } = requester
    const startedMs = this.#clock.monotonic()
    return new Promise((resolve) => {
      const finish = (report: RequesterReport | undefined) => {
        timer.cancel()
        forget()
        stopListening?.()
        resolve(report)
      }
      const timer = this.#clock.setTimer(this.#options.silenceMs ?? SILENCE_MS, () => finish(undefined))
      const stopListening = signal && whenAborted(signal, () => finish(undefined))
      const forget = this.#ask(requester, 'binary-info', (answer) => {
        if (answer.kind !== 'binary-info') return
        const { binaryName, build } = answer
        const answeredInMs = this.#clock.monotonic() - startedMs
        finish({ address, answeredInMs, binaryName, version: build.build_version })
      })
    })
  }

  // Connections.

  #open(target: ExitTarget, requester: RequesterState, signal: AbortSignal | undefined): Tunnel {
    const connectionId = this.#freshId()
    const nowMs = this.#clock.monotonic()
    if (![...this.#tunnels.values()].some((other) => other.requester === requester.address)) requester.listenFrom(nowMs)
    this.#usedMs.set(requester.address, nowMs)
    const stops: (() => void)[] = []
    const tunnel: Tunnel = new Tunnel({
      target,
      requester: requester.address,
      clock: this.#clock,
      returnAddress: this.#anonymous ? undefined : parseRecipient(this.#client.address, () => true),
      connectTimeoutMs: this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      hasAnother: () => this.#requesters.size > 1,
      send: (request) => this.#send(requester, connectionId, request),
      dropQueued: () => this.#client.closeLane(connectionId),
      onEnd: (error) => {
        for (const stop of stops) stop()
        this.#onEnd(connectionId, requester, target, error)
      },
    })
    this.#tunnels.set(connectionId, tunnel)
    if (signal) stops.push(whenAborted(signal, () => tunnel.abort(signal.reason)))
    this.#tickLater()
    return tunnel
  }

  #send(requester: RequesterState, connectionId: bigint, request: TunnelRequest) {
    const { kind } = request
    this.#usedMs.set(requester.address, this.#clock.monotonic())
    const replySurbs = this.#anonymous ? requester.surbsFor(kind, kind === 'credit' ? request.renewedBytes : 0) : 0
    const bytes = encodeProviderRequest({ ...request, connectionId, versions: CURRENT_VERSIONS } as ProviderRequest)
    return this.#client.send(requester.address, bytes, { replySurbs, anonymous: this.#anonymous, lane: connectionId })
  }

  #onEnd(connectionId: bigint, requester: RequesterState, { host }: ExitTarget, error: MixError | undefined): void {
    this.#tunnels.delete(connectionId)
    this.#ended.add(connectionId)
    if (this.#ended.size > ENDED_IDS) this.#ended.delete(this.#ended.values().next().value!)
    const nowMs = this.#clock.monotonic()
    if (error?.code === 'MIX_EXIT_POLICY_REFUSED') requester.refused(host, nowMs)
    if (error?.code === 'MIX_EXIT_SILENT' || error?.code === 'MIX_EXIT_BUSY') requester.failed(nowMs)
    this.#waiting.shift()?.()
  }

  /** A message came: whether it is for a connection, or an answer to a question. */
  #take({ data, repliedBy }: ArrivedMessage): boolean {
    const requester = repliedBy === undefined ? undefined : this.#requesters.get(repliedBy)
    const nowMs = this.#clock.monotonic()
    requester?.heard(data.length, nowMs)
    const response = decodeProviderResponse(data)
    if (response.kind === 'control') {
      if (requester === undefined) return false
      for (const asker of [...(this.#askers.get(requester.address) ?? [])]) asker(response.answer)
      return true
    }
    if (!('connectionId' in response)) return requester !== undefined
    const tunnel = this.#tunnels.get(response.connectionId)
    if (tunnel === undefined) return requester !== undefined || this.#ended.has(response.connectionId)
    // Nobody but the requester has our reply blocks for it.
    if (this.#anonymous && repliedBy !== tunnel.requester) return true
    if (!this.#anonymous) this.#requesters.get(tunnel.requester)?.heard(0, nowMs)
    this.#usedMs.set(tunnel.requester, nowMs)
    tunnel.received(response)
    return true
  }

  #onGateway(state: 'up' | 'down' | 'paused' | 'replaced'): void {
    if (state === 'up') for (const requester of this.#requesters.values()) requester.listenFrom(this.#clock.monotonic())
    if (state !== 'replaced') return
    // Answers go to the old address, and so do the reply blocks.
    const reason = exitError('MIX_EXIT_RESET', 'The client has moved to another gateway.')
    for (const tunnel of [...this.#tunnels.values()]) tunnel.fail(reason)
  }

  // Time.

  #tickLater(): void {
    if (this.#timer !== undefined || this.#closed) return
    this.#timer = this.#clock.setTimer(TICK_MS, () => this.#tick(), { background: true })
  }

  #tick(): void {
    this.#timer = undefined
    const nowMs = this.#clock.monotonic()
    // While our own gateway is away, nobody's silence means anything.
    const isOnline = this.#client.status().gateway.state === 'up'
    const inUse = new Set([...this.#tunnels.values()].map(({ requester }) => requester))
    for (const address of inUse) {
      const requester = this.#requesters.get(address)
      if (requester === undefined || !isOnline) continue
      if (requester.unansweredMs(nowMs) >= (this.#options.silenceMs ?? SILENCE_MS)) this.#giveUp(address)
      else if (requester.isToBeAsked(this.#usedMs.get(address) ?? 0, nowMs)) this.#question(requester, 'health')
    }
    for (const tunnel of [...this.#tunnels.values()]) tunnel.tick(nowMs, isOnline)
    if (this.#tunnels.size > 0) this.#tickLater()
  }

  /** A requester left our questions unanswered for too long. */
  #giveUp(address: string): void {
    const reason = exitError('MIX_EXIT_SILENT', 'The exit answers no more.')
    for (const tunnel of [...this.#tunnels.values()]) if (tunnel.requester === address) tunnel.fail(reason)
  }

  /** Wait until there are fewer connections than allowed. */
  async #slot(signal: AbortSignal | undefined): Promise<void> {
    const most = this.#options.maximumConnections ?? CONNECTIONS
    while (!this.#closed && this.#tunnels.size >= most) {
      let go!: () => void
      const turn = new Promise<void>((resolve) => {
        go = resolve
        this.#waiting.push(resolve)
      })
      try {
        await orAborted(turn, signal)
      } catch (error) {
        const index = this.#waiting.indexOf(go)
        if (index >= 0) this.#waiting.splice(index, 1)
        else this.#waiting.shift()?.()
        throw error
      }
    }
    if (this.#closed) throw exitError('MIX_EXIT_CLOSED', 'The exit was closed.', 'usage')
  }

  #freshId(): bigint {
    const bytes = this.#random.bytes(8)
    return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0)
  }
}

const NO_REQUESTER =
  'No network requester is known: the directory lists none. Name one, or start one with `mixwright requester run`.'

function checkTarget({ host, port }: ExitTarget): void {
  // Whatever else a name may be is for the exit to find out.
  const isHost = typeof host === 'string' && host.length > 0 && host.length <= LONGEST_HOST && !/[\s/]/.test(host)
  if (isHost && Number.isInteger(port) && port >= 1 && port <= 65_535) return
  const message = `${String(host).slice(0, LONGEST_HOST)}:${port} is no host and port.`
  throw exitError('MIX_EXIT_TARGET', message, 'usage', { host, port })
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const stop = whenAborted(signal, () => reject(signal.reason))
    promise.then(resolve, reject).finally(stop)
    if (signal.aborted) reject(signal.reason)
  })
}

/** Into random order, in place. */
function shuffle(items: string[], random: Random): void {
  for (let last = items.length - 1; last > 0; last--) {
    const other = Math.floor(uniform(random) * (last + 1))
    const item = items[last]!
    items[last] = items[other]!
    items[other] = item
  }
}
