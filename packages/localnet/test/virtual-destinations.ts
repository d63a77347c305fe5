/**
 * The world behind an exit on a virtual network: names, and sockets in memory to destinations that follow orders. What is done to a
 * connection tells the port; everything takes time on the virtual clock. A connection ends with the process that opened it.
 */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { Clock } from '@mixwright/runtime'
import type { Dial, Resolve } from '@mixwright/services'
import type { VirtualProcess } from '../src/virtual/virtual-process.js'
import { followOrder } from './scripted-destination.js'

/** What a name stands for; others are unknown. */
const ADDRESSES: Readonly<Record<string, readonly string[]>> = {
  'site.example': ['93.184.216.34'],
  'home.example': ['127.0.0.1'],
}
/** Its name server says nothing. */
export const MUTE_NAME = 'mute.example'
export const SITE = 'site.example'
/** Not globally routable. */
export const HOME = 'home.example'

export const PORTS = { open: 80, refused: 81, silent: 82, unreachable: 83 } as const

/** One way, milliseconds. */
const LATENCY_MS = 20

export class VirtualDestinations {
  readonly #clock: Clock
  readonly #sockets = new Set<MemorySocket>()
  /** Bytes that destinations have sent, read or not. */
  sentBytes = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Connections that are open, or being opened. */
  get connections(): number {
    return this.#sockets.size
  }

  /** How the process `by` resolves names. */
  resolve(by: VirtualProcess): Resolve {
    return (host) =>
      new Promise((resolve, reject) => {
        if (host === MUTE_NAME) return
        const answer = () => {
          const addresses = ADDRESSES[host]
          if (addresses) resolve(addresses)
          else reject(Object.assign(new Error(`no ${host}`), { code: 'ENOTFOUND' }))
        }
        this.#clock.setTimer(LATENCY_MS, () => by.run(answer))
      })
  }

  /** How the process `by` connects. */
  dial(by: VirtualProcess): Dial {
    return (_ip, port) => {
      const socket = new MemorySocket(this.#clock, (action) => by.run(action))
      const end = { destroy: () => socket.resetAndDestroy(), look: () => {} }
      by.entered(end)
      this.#sockets.add(socket)
      socket.on('close', () => {
        by.left(end)
        this.#sockets.delete(socket)
      })
      if (port !== PORTS.silent) this.#clock.setTimer(2 * LATENCY_MS, () => by.run(() => this.#answer(socket, port)))
      return socket as unknown as Socket
    }
  }

  #answer(socket: MemorySocket, port: number): void {
    if (socket.destroyed) return
    if (port === PORTS.refused) socket.destroy(errorOf('ECONNREFUSED'))
    else if (port === PORTS.unreachable) socket.destroy(errorOf('EHOSTUNREACH'))
    else {
      const there = new MemorySocket(this.#clock, (action) => action())
      there.onSent = (bytes) => {
        this.sentBytes += bytes
      }
      socket.peer = there
      there.peer = socket
      void followOrder(there, this.#clock)
      socket.emit('connect')
    }
  }
}

function errorOf(code: string): Error {
  return Object.assign(new Error(code), { code })
}

/** One end of a connection in memory: what a requester uses of `net.Socket`. */
class MemorySocket extends Duplex {
  peer: MemorySocket | undefined
  onSent: (bytes: number) => void = () => {}
  readonly #clock: Clock
  /** How something from outside comes to the program. */
  readonly #run: (action: () => void) => void
  /** The peer's write that waits until we read. */
  #whenRead: (() => void) | undefined

  constructor(clock: Clock, run: (action: () => void) => void) {
    super({ allowHalfOpen: true })
    this.#clock = clock
    this.#run = run
  }

  override _read(): void {
    const go = this.#whenRead
    this.#whenRead = undefined
    go?.()
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.onSent(chunk.length)
    const taken = () => this.#run(done)
    this.#travel((peer) => peer.#arrive(Buffer.from(chunk), taken))
  }

  override _final(done: () => void): void {
    this.#travel((peer) => peer.push(null))
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.writableFinished || !this.readableEnded)
      this.#travel((peer) => peer.destroyed || peer.destroy(errorOf('ECONNRESET')))
    done(error)
  }

  resetAndDestroy(): this {
    return this.destroy()
  }

  #arrive(chunk: Buffer, taken: () => void): void {
    if (this.destroyed) return
    if (this.push(chunk)) taken()
    else this.#whenRead = taken
  }

  #travel(action: (peer: MemorySocket) => void): void {
    const { peer } = this
    if (peer) this.#clock.setTimer(LATENCY_MS, () => peer.#run(() => action(peer)))
  }
}
