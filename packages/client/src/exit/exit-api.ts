/**
 * Connections to the world through a network requester: the interface of `openExit`, types only. The engine below it is shared
 * by `createFetch`, the SOCKS5 door and the HTTP proxy.
 */
import type { Clock, Random } from '@mixwright/runtime'
import type { ByteStream } from '../streams/byte-stream.js'

export interface ExitOptions {
  /**
   * Addresses of network requesters. The first healthy one is taken; the next when it fails. @default those that the directory
   * lists, in random order
   */
  readonly requester?: string | readonly string[]
  /**
   * Answers by reply blocks, so that the exit never learns our address. False tells it: it then answers without waiting for
   * blocks, which is faster. @default true
   */
  readonly anonymous?: boolean
  /** How long a requester may take to connect, or to say that it cannot, milliseconds. @default 30000 */
  readonly connectTimeoutMs?: number
  /** How long a requester with open connections may be silent to questions before they are given up, milliseconds. @default 30000 */
  readonly silenceMs?: number
  /** Connections at once; the next waits. @default 512 */
  readonly maximumConnections?: number
  /** Tests only. @default the machine's */
  readonly clock?: Clock
  /** Tests only. @default the operating system's */
  readonly random?: Random
}

/** Where to. The exit resolves names. */
export interface ExitTarget {
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string
  readonly port: number
}

export interface ExitConnectOptions {
  /** Gives up connecting; afterwards it ends the connection. */
  readonly signal?: AbortSignal
  /**
   * Resolve at once, and send what is written along with the question, which saves one way through the mixnet. That it could not
   * connect is then told by the streams, and by `opened`. @default false
   */
  readonly eager?: boolean
}

export interface ExitConnection extends ByteStream {
  /** Address of the requester that carries it. */
  readonly requester: string
  /** The exit has connected. Rejects with the errors of `Exit.connect`. */
  readonly opened: Promise<void>
  /** Both directions have ended in order; rejects with why it ended otherwise. An unread rejection is silent. */
  readonly closed: Promise<void>
  /** End it now, in both directions. */
  abort(reason?: unknown): void
}

/** What a requester tells about itself. */
export interface RequesterReport {
  readonly address: string
  /** How long it took to answer, milliseconds. */
  readonly answeredInMs: number
  /** Name and version of its program. */
  readonly binaryName: string
  readonly version: string
}

export interface Exit extends AsyncDisposable {
  /**
   * Connect. Errors, all `MixError`: `MIX_EXIT_POLICY_REFUSED`, `MIX_EXIT_CONNECTION_REFUSED`, `MIX_EXIT_HOST_UNREACHABLE`,
   * `MIX_EXIT_NETWORK_UNREACHABLE`, `MIX_EXIT_UNKNOWN_HOST`, `MIX_EXIT_TIMED_OUT` (the exit's attempt), `MIX_EXIT_CONNECT_FAILED` (no
   * reason given), `MIX_EXIT_BUSY` (too many connections), `MIX_EXIT_SILENT` (no answer from the requester), `MIX_EXIT_NONE` (no requester
   * known), `MIX_EXIT_TARGET` (no host and port), `MIX_EXIT_CLOSED`; or the signal's reason. An open connection may fail by
   * `MIX_EXIT_SILENT`, `MIX_EXIT_RESET`, `MIX_EXIT_CLOSED`, or the error of the message that could not be sent.
   */
  connect(target: ExitTarget, options?: ExitConnectOptions): Promise<ExitConnection>
  /** Requesters, best first. */
  readonly requesters: readonly string[]
  /** Ask each requester whether it lives, and what it is. */
  reports(signal?: AbortSignal): Promise<readonly RequesterReport[]>
  /** End all connections. The client stays. */
  close(): Promise<void>
}
