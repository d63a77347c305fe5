/**
 * The link between two hosts, as the mixing part of a node sees it: an ordered stream of bytes that may break at any moment
 * (05-mixnode §6). TCP is in `tcp-links.ts`; a simulated network brings its own. Frames and Noise are above it.
 */
import type { ListenAddress } from '@mixwright/runtime/node'
import type { NodeAddress } from '@mixwright/sphinx'

export interface Link {
  /** The other side's IP address; an IPv4 one in dotted form, also when it came in mapped into IPv6. */
  readonly remoteIp: string
  /** Bytes handed to `write` that the network has not taken yet. */
  readonly bufferedBytes: number
  /** Send the chunks, in order and as one. `written` is called when the network took all of them, or with an error. */
  write(chunks: readonly Uint8Array[], written?: (error?: Error) => void): void
  /** Stop, and go on, reading: what the other side sends meanwhile waits in the network, and then holds it back. */
  pause(): void
  resume(): void
  /** Close now. */
  destroy(): void
}

/** What happens on a link. `closed` comes exactly once and last, whoever ended it, also when it never opened. */
export interface LinkEvents {
  /** Outgoing links only: the other side accepted. */
  opened?(): void
  data(chunk: Uint8Array): void
  /** `bufferedBytes` went down to nothing. */
  drained?(): void
  closed(): void
}

export interface LinkServer {
  /** The port bound, also when any free one was asked for. */
  readonly port: number
  /** Stop accepting. Links that are open stay so: they are their owner's. */
  close(): Promise<void>
}

export interface AcceptOptions {
  /** Links open at once; further ones are closed as they come, and `refused` is called. */
  readonly maximumLinks: number
  refused(): void
  accepted(link: Link): LinkEvents
}

export interface Links {
  /** Errors: `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`. */
  listen(address: ListenAddress, options: AcceptOptions): Promise<LinkServer>
  /** Begin to connect, from `localAddress` if that is given; never throws. */
  connect(address: NodeAddress, events: LinkEvents, localAddress?: string): Link
}
