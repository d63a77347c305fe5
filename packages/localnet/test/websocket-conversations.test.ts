/**
 * Conversations at the local websockets of two clients on a real network, one for each request type in text and in bytes,
 * as an app of nym-client says and hears them (04-client §4.18). Frames stand as they are on the wire; in braces what
 * differs from run to run.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { fromHex, toHex } from '@mixwright/runtime'
import { encodeRecipient, formatSenderTag, parseRecipient, parseSenderTag } from '@mixwright/wire'
import { WebSocket } from 'ws'
import { Network } from '../src/index.js'

type Name = 'alice' | 'bob'
/** Who, says (`>`) or hears (`<`), what: JSON in text, else bytes in hex. */
type Line = readonly [who: Name, direction: '>' | '<', frame: string]

let network: Network
before(async () => {
  network = await Network.start({ clients: ['alice', 'bob'] })
})
after(() => network.close())

class App {
  readonly #websocket: WebSocket
  readonly #heard: string[] = []
  #wake = () => {}

  private constructor(websocket: WebSocket) {
    this.#websocket = websocket
    websocket.on('message', (data: Buffer, isBinary) => {
      this.#heard.push(isBinary ? toHex(data) : data.toString('utf8'))
      this.#wake()
    })
  }

  static async attach(name: Name): Promise<App> {
    const websocket = new WebSocket(network.client(name).websocketUrl)
    const app = new App(websocket)
    await once(websocket, 'open')
    return app
  }

  say(frame: string): void {
    this.#websocket.send(frame.startsWith('{') ? frame : fromHex(frame))
  }

  async hear(): Promise<string> {
    while (this.#heard.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#heard.shift()!
  }

  async leave(): Promise<void> {
    this.#websocket.close()
    await once(this.#websocket, 'close')
    assert.deepEqual(this.#heard, [], 'something came that the record does not have')
  }
}

/** Play what is said, and compare what is heard. `{tag}` is the first sender tag heard. */
async function replay(lines: readonly Line[]): Promise<void> {
  const apps = { alice: await App.attach('alice'), bob: await App.attach('bob') }
  const known = new Map<string, string>()
  for (const name of ['alice', 'bob'] as const) {
    const { address } = network.client(name)
    known.set(`{${name}}`, address)
    known.set(`{${name} in hex}`, toHex(encodeRecipient(parseRecipient(address, () => true)!)))
  }
  const fill = (frame: string) => [...known].reduce((text, [name, value]) => text.replaceAll(name, value), frame)
  for (const [who, direction, frame] of lines) {
    if (direction === '>') apps[who].say(fill(frame))
    else {
      const heard = await apps[who].hear()
      const tag = /"senderTag":"(\w+)"/.exec(heard)?.[1] ?? /^0101(.{32})/.exec(heard)?.[1]
      if (tag !== undefined && frame.includes('{tag')) {
        known.set('{tag}', tag.length === 32 && /^0101/.test(heard) ? formatSenderTag(fromHex(tag)) : tag)
        known.set('{tag in hex}', toHex(parseSenderTag(known.get('{tag}')!)!))
      }
      // A packet just queued may have left already.
      const [length = '0'] = /^[01]/.exec(heard.slice(fill(frame).indexOf('{n}'))) ?? []
      assert.equal(heard, fill(frame).replace('{n}', length), `${who} ${direction} ${frame}`)
    }
  }
  await Promise.all([apps.alice.leave(), apps.bob.leave()])
}

const BOB_SPEAKS_TEXT: readonly Line[] = [
  ['bob', '>', '{"type":"selfAddress"}'],
  ['bob', '<', '{"type":"selfAddress","address":"{bob}"}'],
]
const ALICE_SPEAKS_TEXT: readonly Line[] = [
  ['alice', '>', '{"type":"selfAddress"}'],
  ['alice', '<', '{"type":"selfAddress","address":"{alice}"}'],
]
const BOB_SPEAKS_BYTES: readonly Line[] = [
  ['bob', '>', '03'],
  ['bob', '<', '02{bob in hex}'],
]
const ALICE_SPEAKS_BYTES: readonly Line[] = [
  ['alice', '>', '03'],
  ['alice', '<', '02{alice in hex}'],
]
/** "hi" behind its length. */
const HI = '00000000000000026869'
const NO_CONNECTION = '0000000000000000'
const CONNECTION_42 = '000000000000002a'
const EMPTY_LANE_42 = `03${CONNECTION_42}0000000000000000`
const SHORT_LANE_42 = `03${CONNECTION_42}000000000000000{n}`

const CONVERSATIONS: Readonly<Record<string, readonly Line[]>> = {
  'selfAddress in text': ALICE_SPEAKS_TEXT,
  'selfAddress in bytes': ALICE_SPEAKS_BYTES,
  'send in text': [
    ...BOB_SPEAKS_TEXT,
    ['alice', '>', '{"type":"send","recipient":"{bob}","message":"hi ✓"}'],
    ['bob', '<', '{"type":"received","message":"hi ✓","senderTag":null}'],
  ],
  'send in text, with a connection id': [
    ...BOB_SPEAKS_TEXT,
    ['alice', '>', '{"type":"send","recipient":"{bob}","message":"hi","connectionId":18446744073709551615}'],
    ['alice', '<', '{"type":"laneQueueLength","lane":18446744073709551615,"queue_length":{n}}'],
    ['bob', '<', '{"type":"received","message":"hi","senderTag":null}'],
  ],
  'send in bytes': [
    ...BOB_SPEAKS_BYTES,
    ['alice', '>', `00{bob in hex}${NO_CONNECTION}${HI}`],
    ['bob', '<', `0100${HI}`],
  ],
  'send in bytes, with a connection id, heard in text': [
    ...BOB_SPEAKS_TEXT,
    ['alice', '>', `00{bob in hex}${CONNECTION_42}${HI}`],
    ['alice', '<', SHORT_LANE_42],
    ['bob', '<', '{"type":"received","message":"hi","senderTag":null}'],
  ],
  'sendAnonymous in text, and a reply': [
    ...ALICE_SPEAKS_TEXT,
    ...BOB_SPEAKS_TEXT,
    ['alice', '>', '{"type":"sendAnonymous","recipient":"{bob}","message":"who am I?","replySurbs":10}'],
    ['bob', '<', '{"type":"received","message":"who am I?","senderTag":"{tag}"}'],
    ['bob', '>', '{"type":"reply","senderTag":"{tag}","message":"no idea"}'],
    ['alice', '<', '{"type":"received","message":"no idea","senderTag":null}'],
  ],
  'sendAnonymous in bytes, and a reply with a connection id': [
    ...ALICE_SPEAKS_BYTES,
    ...BOB_SPEAKS_BYTES,
    ['alice', '>', `010000000a{bob in hex}${NO_CONNECTION}${HI}`],
    ['bob', '<', `0101{tag in hex}${HI}`],
    ['bob', '>', `02{tag in hex}${CONNECTION_42}${HI}`],
    ['bob', '<', SHORT_LANE_42],
    ['alice', '<', `0100${HI}`],
  ],
  'closedConnection and getLaneQueueLength in bytes': [
    ['alice', '>', `04${CONNECTION_42}`],
    ['alice', '>', `05${CONNECTION_42}`],
    ['alice', '<', EMPTY_LANE_42],
  ],
  'closedConnection and getLaneQueueLength in text, which is ours alone': [
    ['alice', '>', '{"type":"closedConnection","connectionId":42}'],
    ['alice', '>', '{"type":"getLaneQueueLength","connectionId":42}'],
    ['alice', '<', '{"type":"laneQueueLength","lane":42,"queue_length":0}'],
  ],
  'a message to a gateway that is not there: accepted, and nothing comes of it': [
    ['alice', '>', `00${'11'.repeat(96)}${CONNECTION_42}${HI}`],
    ['alice', '<', SHORT_LANE_42],
    ['alice', '>', `04${CONNECTION_42}`],
    ...ALICE_SPEAKS_BYTES,
  ],
  'a reply to nobody: accepted, and nothing comes of it': [
    ['alice', '>', `02${'ab'.repeat(16)}${CONNECTION_42}${HI}`],
    ['alice', '<', SHORT_LANE_42],
    ...ALICE_SPEAKS_BYTES,
  ],
}

describe('conversations at the local websocket', () => {
  for (const [name, lines] of Object.entries(CONVERSATIONS)) it(name, () => replay(lines))
})
