/**
 * Every vector of client-websocket.json at the daemon's socket: accepted requests do what they say, refused ones get the
 * exact error, and nothing else is answered.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { fromHex, toHex } from '@mixwright/runtime'
import { decodeWebsocketRequest, formatRecipient, formatSenderTag } from '@mixwright/wire'
import { WebSocketApi } from '../src/index.js'
import { LoopbackClient } from './loopback-client.js'
import { TestApp } from './test-app.js'

interface Refusable {
  readonly accepted: boolean
  readonly as_binary?: string
  readonly error_response_text?: string
  readonly error_response_binary?: string
}

interface Vectors {
  readonly address: string
  readonly requests: readonly { readonly name: string; readonly binary: string }[]
  readonly responses: readonly { readonly name: string; readonly binary: string; readonly text: string }[]
  readonly text_requests: readonly (Refusable & { readonly text: string })[]
  readonly malformed_binary: readonly (Refusable & { readonly binary: string })[]
}

const file = new URL('../../../../vectors/client-websocket.json', import.meta.url)
const vectors: Vectors = JSON.parse(readFileSync(file, 'utf8'))
const response = (name: string) => vectors.responses.find((candidate) => candidate.name === name)!
/** Somebody else's client, so that what the vectors send does not come back. */
const OWN = `${vectors.address.split('@')[0]!.split('.').reverse().join('.')}@${vectors.address.split('@')[1]}`
const ASK = { text: '{"type":"selfAddress"}', binary: '03' }

/** Say one thing, then ask for the address: the answers between are those to the one thing. */
async function converse(kind: 'text' | 'binary', said: string): Promise<{ answers: string[]; client: LoopbackClient }> {
  const client = new LoopbackClient(OWN)
  client.laneLengths.set(42n, 7)
  await using api = await WebSocketApi.listen(client, { port: 0 })
  const app = await TestApp.attach(api.url)
  const send = (what: string) => app.send(kind === 'text' ? what : fromHex(what))
  send(said)
  send(ASK[kind])
  const answers: string[] = []
  for (;;) {
    const answer = kind === 'text' ? await app.text() : await app.binary()
    const isAddress = kind === 'text' ? answer.includes('"selfAddress"') : answer.startsWith('02')
    if (isAddress && said !== ASK[kind] && !said.startsWith('03')) return { answers, client }
    answers.push(answer)
    if (isAddress && answers.length === 2) return { answers: answers.slice(1), client }
  }
}

/** What the client was asked to do is what the binary request says. */
function assertDone(client: LoopbackClient, binary: string): void {
  const request = decodeWebsocketRequest(fromHex(binary), () => true)
  if (request.kind === 'closed-connection') return assert.deepEqual(client.closedLanes, [request.connectionId])
  assert.deepEqual(client.closedLanes, [])
  if (request.kind !== 'send' && request.kind !== 'send-anonymous' && request.kind !== 'reply')
    return assert.deepEqual(client.sent, [])
  const [sent] = client.sent
  assert.equal(client.sent.length, 1)
  assert.equal(toHex(sent!.data), toHex(request.data))
  assert.equal(sent!.options.lane, request.connectionId)
  assert.equal(sent!.kind, request.kind === 'reply' ? 'reply' : 'send')
  assert.equal(
    sent!.to,
    request.kind === 'reply' ? formatSenderTag(request.senderTag) : formatRecipient(request.recipient),
  )
  assert.equal(sent!.options.anonymous ?? false, request.kind === 'send-anonymous')
  // Ours attaches 500 at most; the recipient asks for more if it needs them.
  if (request.kind === 'send-anonymous') assert.equal(sent!.options.replySurbs, Math.min(request.replySurbs, 500))
}

/** The answer that a request gets, as the vectors and the length of lane 42 say. */
function expected(kind: 'text' | 'binary', binary: string): string[] {
  const request = decodeWebsocketRequest(fromHex(binary), () => true)
  if (request.kind === 'error' || request.kind === 'closed-connection') return []
  if (request.kind === 'self-address')
    return kind === 'text' ? [JSON.stringify({ type: 'selfAddress', address: OWN })] : [OWN_BINARY]
  if (request.connectionId !== 42n) return []
  return kind === 'text'
    ? ['{"type":"laneQueueLength","lane":42,"queue_length":7}']
    : ['03000000000000002a0000000000000007']
}
const addressBytes = response('self address').binary.slice(2)
const OWN_BINARY = `02${addressBytes.slice(64, 128)}${addressBytes.slice(0, 64)}${addressBytes.slice(128)}`

describe('client-websocket.json at the socket', () => {
  for (const { name, binary } of vectors.requests)
    it(`binary: ${name}`, async () => {
      const { answers, client } = await converse('binary', binary)
      assert.deepEqual(answers, expected('binary', binary))
      assertDone(client, binary)
    })

  for (const { binary, accepted, as_binary, error_response_binary } of vectors.malformed_binary)
    it(`binary: ${binary.slice(0, 40) || 'empty'}`, async () => {
      const { answers, client } = await converse('binary', binary)
      assert.deepEqual(answers, accepted ? expected('binary', as_binary!) : [error_response_binary])
      assert.deepEqual(client.sent, [])
    })

  // These two have a text form with us only.
  const ours: Readonly<Record<string, string>> = {
    '{"type":"closedConnection","connectionId":42}': '04000000000000002a',
    '{"type":"getLaneQueueLength","connectionId":42}': '05000000000000002a',
  }
  for (const { text, accepted, as_binary = ours[text], error_response_text } of vectors.text_requests)
    it(`text: ${text.length > 90 ? `${text.slice(0, 40)}…${text.slice(-40)}` : text}`, async () => {
      const { answers, client } = await converse('text', text)
      if (accepted || text in ours) {
        assert.deepEqual(answers, expected('text', as_binary!))
        assertDone(client, as_binary!)
      } else {
        assert.deepEqual(answers, [error_response_text])
        assert.deepEqual(client.sent, [])
      }
    })

  for (const name of ['without tag', 'with tag', 'with bytes that are not UTF-8'])
    it(`received ${name}`, async () => {
      const { binary, text } = response(`received ${name}`)
      const client = new LoopbackClient(OWN)
      await using api = await WebSocketApi.listen(client, { port: 0 })
      const app = await TestApp.attach(api.url)
      const data = fromHex(name.includes('not UTF-8') ? '66fffe6f' : '666f6f6d70')
      const tag = name === 'with tag' ? '5DU2L2vQsyTXuu9NEUKT3f' : undefined
      for (const kind of ['text', 'binary'] as const) {
        app.send(kind === 'text' ? ASK.text : fromHex(ASK.binary))
        await app.next()
        client.receive(data, tag)
        assert.equal(kind === 'text' ? await app.text() : await app.binary(), kind === 'text' ? text : binary)
      }
    })
})
