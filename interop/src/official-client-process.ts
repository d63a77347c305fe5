/**
 * The child process: the official, unmodified npm client, driven over IPC. A process of its own, because the package's
 * WASM may end it, and so that its memory and CPU are not the network's.
 */
import 'fake-indexeddb/auto'
import { RealClock } from '@mixwright/runtime'
import { encodeBase58 } from '@mixwright/wire'
import { obey, reportComplaints, tell } from './driven-child.js'
import { ForgetfulWebSocket } from './forgetful-web-socket.js'
import { dumpDatabases, restoreDatabases } from './indexed-db-dump.js'
import type { ClientStart, Command, MessageReport, PingPong, Started } from './official-client-protocol.js'

const clock = new RealClock()
/** While set: when the client wrote a packet, milliseconds. */
let packetTimes: number[] | undefined

class TimedWebSocket extends ForgetfulWebSocket {
  override send(data: never, ...rest: never[]): void {
    if (packetTimes !== undefined && typeof data !== 'string') packetTimes.push(clock.monotonic())
    super.send(data, ...(rest as []))
  }
}
Object.assign(globalThis, { WebSocket: TimedWebSocket })
reportComplaints()

// A CommonJS module: Node finds some of its names only behind `default`.
const { default: officialPackage } = await import('@nymproject/nym-client-wasm-node')
type OfficialClient = Awaited<InstanceType<typeof officialPackage.NymClient>>

let client: OfficialClient
/** While set, messages go there instead of to the parent. */
let intercept: (() => void) | undefined

async function start({
  nymApiUrl,
  clientId,
  preferredGateway,
  clientOverride,
  storage,
}: ClientStart): Promise<Started> {
  if (storage) await restoreDatabases(storage)
  const options = {
    nymApiUrl,
    clientId,
    ...(preferredGateway !== undefined && { preferredGateway }),
    ...(clientOverride !== undefined && { clientOverride }),
  }
  const startedAt = clock.monotonic()
  client = await (new officialPackage.NymClient(onMessage, options) as unknown as Promise<OfficialClient>)
  return { address: client.selfAddress(), connectMs: clock.monotonic() - startedAt }
}

function onMessage(message: Uint8Array, senderTag: SenderTag | null | undefined): void {
  if (intercept) return intercept()
  const report: MessageReport = {
    kind: 'message',
    message: Uint8Array.from(message),
    ...(senderTag && { senderTag: tagText(senderTag) }),
  }
  tell(report)
}

/** The package hands out a sender tag as a bare pointer into its memory. */
interface SenderTag {
  readonly __wbg_ptr: number
}
/** Before the tag's 16 bytes lies the borrow flag of wasm-bindgen, a u32. */
const TAG_OFFSET_BYTES = 4
const TAG_BYTES = 16

function tagText(tag: SenderTag): string {
  const { __wasm } = officialPackage as unknown as { __wasm: { memory: { buffer: ArrayBuffer } } }
  return encodeBase58(
    Uint8Array.from(new Uint8Array(__wasm.memory.buffer, tag.__wbg_ptr + TAG_OFFSET_BYTES, TAG_BYTES)),
  )
}

/** One-packet messages to itself, one after the other. */
async function pingPong(messages: number, bytes: number): Promise<PingPong> {
  const latenciesMs: number[] = []
  packetTimes = []
  const message = new Uint8Array(bytes)
  const ownAddress = client.selfAddress()
  for (let i = 0; i < messages; i++) {
    const arrived = new Promise<void>((resolve) => {
      intercept = resolve
    })
    const sentAt = clock.monotonic()
    await client.send_regular_message(message, ownAddress)
    await arrived
    latenciesMs.push(clock.monotonic() - sentAt)
  }
  intercept = undefined
  const packetTimesMs = packetTimes
  packetTimes = undefined
  return { latenciesMs, packetTimesMs }
}

/** Messages to itself, all at once; resolves with the milliseconds until the last is back. */
async function roundTrip(messages: readonly Uint8Array[]): Promise<number> {
  let missing = messages.length
  const arrived = new Promise<void>((resolve) => {
    intercept = () => {
      if (--missing === 0) resolve()
    }
  })
  const ownAddress = client.selfAddress()
  const sentAt = clock.monotonic()
  for (const message of messages) await client.send_regular_message(message, ownAddress)
  await arrived
  intercept = undefined
  return clock.monotonic() - sentAt
}

function run(command: Command): Promise<unknown> | unknown {
  switch (command.kind) {
    case 'start':
      return start(command)
    case 'send':
      if (command.replySurbs === undefined) return client.send_regular_message(command.message, command.to)
      return client.send_anonymous_message(command.message, command.to, command.replySurbs)
    case 'reply':
      return client.send_reply(command.message, command.senderTag)
    case 'ping-pong':
      return pingPong(command.messages, command.bytes)
    case 'transfer':
      return roundTrip([new Uint8Array(command.bytes)])
    case 'burst':
      return roundTrip(Array.from({ length: command.messages }, () => new Uint8Array(1000)))
    case 'memory':
      return process.memoryUsage.rss()
    case 'storage':
      return dumpDatabases()
  }
}

obey(run)
