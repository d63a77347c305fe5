/** The child process of our client for `bench:client`: obeys the commands of interop's official client, so that both are measured alike. */
import { type Client, connect, memoryStore, type ProfileName } from '@mixwright/client'
import { obey, tell } from '@mixwright/interop/driven-child'
import type { Command, MessageReport } from '@mixwright/interop/protocol'
import { RealClock } from '@mixwright/runtime'

const clock = new RealClock()
let client: Client
/** What to do with a message that comes. */
let onMessage: () => void = () => {}

/** `clientId` names the profile: `NAME:PROFILE`. */
async function start({ nymApiUrl, clientId, preferredGateway }: Extract<Command, { kind: 'start' }>) {
  const profile = (clientId.split(':')[1] ?? 'default') as ProfileName
  const startedAt = clock.monotonic()
  client = await connect({
    directory: nymApiUrl,
    store: memoryStore(),
    profile,
    ...(preferredGateway !== undefined && { gateway: preferredGateway }),
  })
  const connectMs = clock.monotonic() - startedAt
  void deliver()
  return { address: client.address, connectMs }
}

async function deliver() {
  for await (const { data } of client.messages()) {
    const report: MessageReport = { kind: 'message', message: data.length > 100 ? data.subarray(0, 100) : data }
    tell(report)
    onMessage()
  }
}

async function pingPong(messages: number, bytes: number) {
  const latenciesMs: number[] = []
  for (let i = 0; i < messages; i++) latenciesMs.push(await roundTrip([new Uint8Array(bytes)]))
  return { latenciesMs, packetTimesMs: [] }
}

async function roundTrip(messages: readonly Uint8Array[]): Promise<number> {
  let missing = messages.length
  const arrived = new Promise<void>((resolve) => {
    onMessage = () => {
      if (--missing === 0) resolve()
    }
  })
  const sentAt = clock.monotonic()
  for (const message of messages) await client.send(client.address, message).queued
  await arrived
  return clock.monotonic() - sentAt
}

function run(command: Command): unknown {
  switch (command.kind) {
    case 'start':
      return start(command)
    case 'send':
      return client.send(command.to, command.message).queued
    case 'ping-pong':
      return pingPong(command.messages, command.bytes)
    case 'transfer':
      return roundTrip([new Uint8Array(command.bytes)])
    case 'burst':
      return roundTrip(Array.from({ length: command.messages }, () => new Uint8Array(1000)))
    case 'memory':
      return process.memoryUsage.rss()
    default:
      throw new Error(`${command.kind} is not compared`)
  }
}

obey(run)
