/**
 * The network requester: the exit through which clients of the mixnet reach the world (06-service-providers §2). Hands each message to
 * its connection, answers questions, holds the limits. One connection is `proxied-connection.ts`, the way to a destination
 * `destination.ts`.
 *
 * Messages are taken by `client.intercept`, so that they never come into the client's inbox, nor into its store: what an earlier run did
 * not get to is gone, instead of being connected hours later. What comes while the requester was down and its gateway kept is served.
 * Other interceptors, added later, may take messages first; answers to what this client asks elsewhere pass by.
 *
 * | bound | at it |
 * |---|---|
 * | 256 connections of one client, 8192 in all, 1024 connects under way | ConnectionError `too many connections: …` |
 * | 4096 such errors and answers to questions not acknowledged, 64 of one client | the next is dropped |
 * | 256 MiB that wait for destinations | the connection where most waits ends |
 * | 48 MiB of answers not sent | never reached: each connection pauses at a sixteenth of what is free, so that the next one has room |
 */
import type { ArrivedMessage, Client, SendHandle } from '@mixwright/client'
import { type Clock, type Logger, type Metrics, type Timer, utf8 } from '@mixwright/runtime'
import {
  type BuildInformation,
  CURRENT_VERSIONS,
  decodeProviderRequest,
  type ProviderRequest,
  type ProviderResponse,
  type ProviderVersions,
} from '@mixwright/wire'
import { type Dial, openDestination, type Resolve, systemDial, systemResolve } from './destination.js'
import { type ExitPolicyChoice, ExitPolicySource } from './exit-policy-source.js'
import { ProxiedConnection } from './proxied-connection.js'
import { RequesterMetrics } from './requester-metrics.js'
import { type ReturnPath, returnPathOf } from './return-path.js'
import { EndedConnections, WaitingRequests } from './waiting-requests.js'

const TICK_MS = 1000
const CONNECTION_ALLOWANCE_BYTES = 256 * 1024
/** Below the room that a client has for what waits. */
const DOWNLOAD_BYTES = 48 * 1024 ** 2
/** A connection may have one such part of the room that is left. */
const DOWNLOAD_SHARES = 16
const UPLOAD_BYTES = 256 * 1024 ** 2
const NOTICES = 4096
const CLIENT_NOTICES = 64
/** Messages that come while the exit policy is read for the first time. */
const HELD_MESSAGES = 1024
const CLOSE_MS = 3000
const BINARY_NAME = 'nym-network-requester'
const VERSION_JSON = JSON.stringify({ type: 'Versioned', version: CURRENT_VERSIONS.socks5 })

export interface NetworkRequesterLimits {
  /** Connections of one client (one address, or one sender tag) at once. @default 256 */
  readonly connectionsPerClient: number
  /** Connections at once. @default 8192 */
  readonly connections: number
  /** Connects under way at once. @default 1024 */
  readonly connecting: number
}

const LIMITS: NetworkRequesterLimits = { connectionsPerClient: 256, connections: 8192, connecting: 1024 }

export interface NetworkRequesterOptions {
  /** Stays the caller's. What is in its inbox at the start is dropped. */
  readonly client: Client
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly policy: ExitPolicyChoice
  /**
   * Reach also what is not in the public internet: this machine, its neighbours. Anonymous clients then can do what this machine can.
   * @default false
   */
  readonly allowLocalIps?: boolean
  readonly limits?: Partial<NetworkRequesterLimits>
  /** Told to who asks. */
  readonly buildInformation: BuildInformation
  /** Told to who asks. @default 'A network requester.' */
  readonly description?: string
  /** @default the operating system's */
  readonly resolve?: Resolve
  /** @default TCP */
  readonly dial?: Dial
  /** Gives up reading the exit policy for the first time. */
  readonly signal?: AbortSignal
}

/** A connection, and whose it is. */
interface Entry {
  readonly id: bigint
  readonly connection: ProxiedConnection
}

/** What one client has. */
interface ClientShare {
  connections: number
  notices: number
}

/** What is kept of a message that waits for its Connect. */
interface Origin {
  readonly path: ReturnPath | undefined
  readonly versions: ProviderVersions
}

type RequestOf<K extends ProviderRequest['kind']> = Extract<ProviderRequest, { kind: K }>

export class NetworkRequester {
  readonly #options: NetworkRequesterOptions
  readonly #limits: NetworkRequesterLimits
  readonly #metrics: RequesterMetrics
  #policy!: ExitPolicySource
  readonly #connections = new Map<bigint, Entry>()
  readonly #clients = new Map<string, ClientShare>()
  readonly #waiting = new WaitingRequests<Origin>()
  readonly #ended = new EndedConnections()
  #connecting = 0
  #notices = 0
  #uploadBytes = 0
  #downloadBytes = 0
  #held: ArrivedMessage[] | undefined = []
  #timer: Timer | undefined
  #stopIntercepting = () => {}
  #closing: Promise<void> | undefined

  private constructor(options: NetworkRequesterOptions) {
    this.#options = options
    this.#limits = { ...LIMITS, ...options.limits }
    this.#metrics = new RequesterMetrics(options.metrics, {
      connections: () => this.#connections.size,
      connecting: () => this.#connecting,
      uploadBytes: () => this.uploadBytes,
      downloadBytes: () => this.#downloadBytes,
    })
  }

  /**
   * Begin to serve. Error: `MIX_EXIT_POLICY_UNAVAILABLE` when the exit policy cannot be had: no policy, no exit. What comes while it is
   * read is served afterwards.
   */
  static async start(options: NetworkRequesterOptions): Promise<NetworkRequester> {
    const requester = new NetworkRequester(options)
    await requester.#start()
    return requester
  }

  /** The policy in use. */
  get policy(): ExitPolicySource {
    return this.#policy
  }

  /** Connections, those included of which only the last answers are on their way. */
  get connections(): number {
    return this.#connections.size
  }

  /** Bytes that wait for a destination, or for their Connect. */
  get uploadBytes(): number {
    return this.#uploadBytes + this.#waiting.bytes
  }

  /** Bytes of answers that wait to be sent. */
  get downloadBytes(): number {
    return this.#downloadBytes
  }

  /**
   * Take no more messages, end all connections and tell their clients; resolves when they were told, after three seconds at the latest.
   * The client stays.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #start(): Promise<void> {
    const { client, clock, logger, policy, signal } = this.#options
    this.#stopIntercepting = client.intercept((message) => this.#intercepted(message))
    try {
      const onReload = (outcome: 'done' | 'failed') => this.#metrics.policyReload(outcome)
      this.#policy = await ExitPolicySource.open(policy, { clock, logger, onReload }, signal)
      await this.#emptyInbox()
    } catch (error) {
      this.#stopIntercepting()
      throw error
    }
    const held = this.#held ?? []
    this.#held = undefined
    for (const message of held) this.#take(message)
    this.#tickLater()
  }

  /** Messages that came before `start`, now or in an earlier run: nobody else reads them, and the client stops when it is full. */
  async #emptyInbox(): Promise<void> {
    const { client } = this.#options
    const reader = client.messages()
    while (client.status().inbox.messages > 0) {
      if ((await reader.next()).done) break
      this.#metrics.dropped('before-start')
    }
    await reader.return?.()
  }

  async #close(): Promise<void> {
    this.#stopIntercepting()
    this.#timer?.cancel()
    this.#policy.close()
    const { clock } = this.#options
    for (const { connection } of [...this.#connections.values()]) connection.shutDown()
    if (this.#connections.size === 0) return
    await new Promise<void>((resolve) => {
      const timer = clock.setTimer(CLOSE_MS, () => resolve())
      this.#whenEmpty = () => {
        timer.cancel()
        resolve()
      }
    })
  }

  #whenEmpty = () => {}

  // Messages.

  #intercepted(message: ArrivedMessage): boolean {
    // An answer to what somebody else asked by this client.
    if (message.repliedBy !== undefined) return false
    if (this.#held === undefined) this.#take(message)
    else if (this.#held.length < HELD_MESSAGES) this.#held.push(message)
    else this.#metrics.dropped('before-start')
    return true
  }

  #take(message: ArrivedMessage): void {
    // Whether the keys of an address are points of a curve does not matter: nobody computes with them.
    const request = decodeProviderRequest(message.data, () => true)
    if (request.kind === 'malformed') return this.#metrics.dropped(request.reason)
    this.#metrics.request(request.kind)
    switch (request.kind) {
      case 'connect':
        return this.#onConnect(request, returnPathOf(this.#options.client, message, request.returnAddress))
      case 'send':
      case 'credit': {
        const entry = this.#connections.get(request.connectionId)
        if (entry) return entry.connection.received(request)
        return this.#keep(request, message)
      }
      case 'control':
      case 'query':
        return this.#answer(request, returnPathOf(this.#options.client, message))
    }
  }

  #onConnect(request: RequestOf<'connect'>, path: ReturnPath | undefined): void {
    const { connectionId: id, versions, remote } = request
    if (this.#connections.has(id)) return this.#metrics.dropped('connect-repeated')
    if (this.#ended.has(id)) return this.#metrics.dropped('connection-ended')
    if (path === undefined) return this.#metrics.dropped('no-return-path')
    const share = this.#share(path.client)
    const tooMany = this.#tooMany(share)
    if (tooMany !== undefined) {
      this.#metrics.connect('too-many')
      this.#waiting.take(id)
      this.#ended.add(id, this.#options.clock.monotonic())
      return this.#refuse(path, id, versions, `too many connections: ${tooMany}`)
    }
    share.connections++
    const connection = this.#connection(id, versions, path)
    this.#connections.set(id, { id, connection })
    for (const early of this.#waiting.take(id)) connection.received(early)
    void this.#open(connection, remote)
  }

  async #open(connection: ProxiedConnection, remote: string): Promise<void> {
    const { clock, allowLocalIps = false, resolve = systemResolve, dial = systemDial } = this.#options
    const rules = { clock, allowLocalIps, resolve, dial, policy: () => this.#policy.current }
    this.#connecting++
    const opening = await openDestination(remote, rules, connection.ending)
    this.#connecting--
    this.#metrics.connect('socket' in opening ? 'connected' : opening.outcome)
    if (!('socket' in opening)) return connection.refuse(opening.refusal)
    if (connection.hasEnded) opening.socket.destroy()
    else connection.connected(opening.socket)
  }

  #connection(id: bigint, versions: ProviderVersions, path: ReturnPath): ProxiedConnection {
    const { client, clock } = this.#options
    return new ProxiedConnection({
      clock,
      bearsErrors: path.bearsErrors,
      send: (answer) => path.send({ versions, connectionId: id, ...answer }, id),
      dropQueued: () => client.closeLane(id),
      allowance: () =>
        Math.min(CONNECTION_ALLOWANCE_BYTES, Math.floor((DOWNLOAD_BYTES - this.#downloadBytes) / DOWNLOAD_SHARES)),
      uploadChanged: (by) => {
        this.#uploadBytes += by
        if (this.#uploadBytes > UPLOAD_BYTES) this.#relieve()
      },
      downloadChanged: (by) => {
        this.#downloadBytes += by
      },
      carried: (direction, bytes) => this.#metrics.bytes(direction, bytes),
      dropped: (reason) => this.#metrics.dropped(reason),
      onEnd: (reason) => this.#metrics.ended(reason),
      onGone: () => {
        this.#connections.delete(id)
        this.#ended.add(id, clock.monotonic())
        this.#release(path.client, 'connections')
        if (this.#connections.size === 0) this.#whenEmpty()
      },
    })
  }

  /** Keep what overtook its Connect. */
  #keep(request: RequestOf<'send'> | RequestOf<'credit'>, message: ArrivedMessage): void {
    const { connectionId: id, versions } = request
    const nowMs = this.#options.clock.monotonic()
    if (this.#ended.has(id)) return this.#metrics.dropped('connection-ended')
    const path = returnPathOf(this.#options.client, message)
    for (const givenUp of this.#waiting.add(id, request, { path, versions }, nowMs)) {
      this.#metrics.dropped('too-many-wait')
      this.#ended.add(givenUp, nowMs)
    }
  }

  #relieve(): void {
    let fullest: ProxiedConnection | undefined
    for (const { connection } of this.#connections.values())
      if (fullest === undefined || connection.uploadBytes > fullest.uploadBytes) fullest = connection
    fullest?.overflow()
  }

  // Answers that belong to no connection.

  #answer(request: RequestOf<'control'> | RequestOf<'query'>, path: ReturnPath | undefined): void {
    if (path === undefined) return this.#metrics.dropped('no-return-path')
    const response: ProviderResponse =
      request.kind === 'control'
        ? { kind: 'control', interfaceVersion: request.interfaceVersion, answer: this.#controlAnswer(request.request) }
        : { kind: 'query', versions: request.versions, answer: this.#queryAnswer(request.query) }
    this.#notify(path, response, 0n)
  }

  #controlAnswer(request: RequestOf<'control'>['request']): Extract<ProviderResponse, { kind: 'control' }>['answer'] {
    switch (request) {
      case 'health':
        return { kind: 'health' }
      case 'binary-info':
        return { kind: 'binary-info', binaryName: BINARY_NAME, build: this.#options.buildInformation }
      case 'supported-request-versions':
        return { kind: request, interfaceVersion: VERSION_JSON, providerVersion: VERSION_JSON }
    }
  }

  #queryAnswer(query: RequestOf<'query'>['query']): Extract<ProviderResponse, { kind: 'query' }>['answer'] {
    switch (query) {
      case 'open-proxy':
        return { kind: query, open: this.#policy.isOpen }
      case 'description':
        return { kind: query, text: this.#options.description ?? 'A network requester.' }
      case 'exit-policy':
        return { kind: query, enabled: true, upstream: this.#policy.upstream, policy: this.#policy.current }
    }
  }

  /** A ConnectionError and, once it has arrived, a close for the clients that wait for one (trap T5); or a close alone. */
  #refuse(path: ReturnPath, connectionId: bigint, versions: ProviderVersions, message: string): void {
    const close = { kind: 'data', versions, connectionId, sequence: 0n, closed: true, data: utf8('') } as const
    if (!path.bearsErrors) return void this.#notify(path, close, connectionId)
    const error = this.#notify(path, { kind: 'connection-error', versions, connectionId, message }, connectionId)
    error?.acknowledged.then(() => this.#notify(path, close, connectionId)).catch(() => {})
  }

  #notify(path: ReturnPath, response: ProviderResponse, lane: bigint): SendHandle | undefined {
    const share = this.#share(path.client)
    if (this.#notices >= NOTICES || share.notices >= CLIENT_NOTICES) {
      this.#metrics.dropped('too-many-answers')
      this.#release(path.client)
      return undefined
    }
    this.#notices++
    share.notices++
    const handle = path.send(response, lane)
    const done = () => {
      this.#notices--
      this.#release(path.client, 'notices')
    }
    handle.acknowledged.then(done, done)
    handle.sent.catch(() => {})
    return handle
  }

  // Limits and time.

  /** What there is too much of, in words. */
  #tooMany(share: ClientShare): string | undefined {
    if (this.#closing !== undefined) return 'the requester closes'
    if (share.connections >= this.#limits.connectionsPerClient) return `${share.connections} of this client`
    if (this.#connections.size >= this.#limits.connections) return `${this.#connections.size} in all`
    return this.#connecting >= this.#limits.connecting ? `${this.#connecting} that are not connected yet` : undefined
  }

  #share(client: string): ClientShare {
    let share = this.#clients.get(client)
    if (share === undefined) {
      share = { connections: 0, notices: 0 }
      this.#clients.set(client, share)
    }
    return share
  }

  #release(client: string, what?: keyof ClientShare): void {
    const share = this.#share(client)
    if (what !== undefined) share[what]--
    if (share.connections === 0 && share.notices === 0) this.#clients.delete(client)
  }

  #tickLater(): void {
    this.#timer = this.#options.clock.setTimer(TICK_MS, () => this.#tick(), { background: true })
  }

  #tick(): void {
    const nowMs = this.#options.clock.monotonic()
    for (const { connection } of [...this.#connections.values()]) connection.tick(nowMs)
    for (const { id, from, requests } of this.#waiting.expire(nowMs)) {
      for (let count = 0; count < requests; count++) this.#metrics.dropped('no-connect')
      this.#ended.add(id, nowMs)
      // As after a restart: who has a connection of an earlier run learns that it is gone.
      if (from.path)
        this.#notify(
          from.path,
          {
            kind: 'connection-error',
            versions: from.versions,
            connectionId: id,
            message: 'connect failed: the connection is unknown',
          },
          id,
        )
    }
    this.#ended.expire(nowMs)
    this.#tickLater()
  }
}
