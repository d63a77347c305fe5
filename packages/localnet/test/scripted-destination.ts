/**
 * A destination that does what the first bytes of a connection order: sends, takes, echoes, trickles, breaks off, or says nothing. For
 * connections through exits, over TCP as well as in memory; both sides know every byte from a seed.
 */
import { createCipheriv, createHash } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { type Clock, sleep } from '@mixwright/runtime'

const KINDS = [
  /** So many bytes, and the end. */
  'source',
  /** Takes all; after its end comes the SHA-256 of it. */
  'sink',
  'echo',
  /** Takes all and says nothing. */
  'silent',
  /** One byte a second. */
  'trickle',
  /** So many bytes, and a reset. */
  'reset',
  /** Does not stop. */
  'endless',
] as const

export type DestinationKind = (typeof KINDS)[number]

/** Kind, number of bytes and seed: one byte and two big-endian u32. */
export const ORDER_BYTES = 9
const CHUNK_BYTES = 16_384

export interface Order {
  readonly kind: DestinationKind
  /** Of 'source', 'trickle' and 'reset'. @default 0 */
  readonly bytes?: number
  /** @default 0 */
  readonly seed?: number
}

export function encodeOrder({ kind, bytes = 0, seed = 0 }: Order): Uint8Array {
  const order = Buffer.alloc(ORDER_BYTES)
  order.writeUInt8(KINDS.indexOf(kind))
  order.writeUInt32BE(bytes, 1)
  order.writeUInt32BE(seed, 5)
  return order
}

/** The bytes of a seed. */
export function dataOf(seed: number, bytes: number): Uint8Array {
  const key = Buffer.alloc(16)
  key.writeUInt32BE(seed)
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(bytes))
}

export const hashOf = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex')

/** What a destination needs of a socket. */
export type DestinationSocket = Duplex & { resetAndDestroy(): unknown }

/** Read the order and follow it. Never rejects. */
export async function followOrder(socket: DestinationSocket, clock: Clock): Promise<void> {
  socket.on('error', () => {})
  const ending = new AbortController()
  socket.on('close', () => ending.abort())
  try {
    const incoming = chunksOf(socket)
    const { order, rest } = await readOrder(incoming)
    await FOLLOW[order.kind]({ socket, order, rest, incoming, clock, signal: ending.signal })
  } catch {
    socket.destroy()
  }
}

interface Following {
  readonly socket: DestinationSocket
  readonly order: Required<Order>
  /** What came with the order. */
  readonly rest: Buffer
  readonly incoming: AsyncIterator<Buffer>
  readonly clock: Clock
  readonly signal: AbortSignal
}

const FOLLOW: Readonly<Record<DestinationKind, (following: Following) => Promise<void>>> = {
  async source({ socket, order, incoming }) {
    await pour(socket, dataOf(order.seed, order.bytes))
    socket.end()
    await drain(incoming)
  },
  async sink({ socket, rest, incoming }) {
    const hash = createHash('sha256').update(rest)
    await drain(incoming, (chunk) => hash.update(chunk))
    socket.end(hash.digest())
  },
  async echo({ socket, rest, incoming }) {
    await pour(socket, rest)
    for (let next = await incoming.next(); !next.done; next = await incoming.next()) await pour(socket, next.value)
    socket.end()
  },
  async silent({ incoming }) {
    await drain(incoming)
  },
  async trickle({ socket, order, clock, signal }) {
    for (const byte of dataOf(order.seed, order.bytes)) {
      await pour(socket, Uint8Array.of(byte))
      await sleep(clock, 1000, signal)
    }
    socket.end()
  },
  async reset({ socket, order }) {
    await pour(socket, dataOf(order.seed, order.bytes))
    socket.resetAndDestroy()
  },
  async endless({ socket, order, signal }) {
    const chunk = dataOf(order.seed, CHUNK_BYTES)
    while (!signal.aborted) await pour(socket, chunk)
  },
}

/** Not closed when it is left. */
function chunksOf(socket: Duplex): AsyncIterator<Buffer> {
  return socket.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>
}

async function readOrder(incoming: AsyncIterator<Buffer>): Promise<{ order: Required<Order>; rest: Buffer }> {
  let bytes = Buffer.alloc(0)
  while (bytes.length < ORDER_BYTES) {
    const { done, value } = await incoming.next()
    if (done) throw new Error('there was no order')
    bytes = Buffer.concat([bytes, value])
  }
  const kind = KINDS[bytes.readUInt8()]
  if (kind === undefined) throw new Error('an order of no kind')
  const order = { kind, bytes: bytes.readUInt32BE(1), seed: bytes.readUInt32BE(5) }
  return { order, rest: bytes.subarray(ORDER_BYTES) }
}

async function drain(incoming: AsyncIterator<Buffer>, take: (chunk: Buffer) => void = () => {}): Promise<void> {
  for (let next = await incoming.next(); !next.done; next = await incoming.next()) take(next.value)
}

/** Write all, at the pace of who takes it. */
async function pour(socket: Duplex, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length; at += CHUNK_BYTES) {
    if (socket.destroyed) throw new Error('the connection is gone')
    if (socket.write(data.subarray(at, at + CHUNK_BYTES))) continue
    await new Promise<void>((resolve) => {
      const go = () => {
        socket.off('drain', go)
        socket.off('close', go)
        resolve()
      }
      socket.on('drain', go)
      socket.on('close', go)
    })
  }
}
