/** A client of the gateway under test: registers, authenticates, and keeps what is pushed to it as it came (02-gateway §4, §5). */
import { once } from 'node:events'
import { SystemRandom } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import {
  authenticationSignedBytes,
  type ClientRequest,
  CURRENT_PROTOCOL,
  decodeGatewayMaterial,
  deriveSharedKey,
  encodeClientRequest,
  encodeHandshakeInit,
  handshakeSignedBytes,
  openBinaryFrame,
  parseServerResponse,
  type ServerResponse,
  seal,
  sealSignature,
} from '@mixwright/wire'
import { WebSocket } from 'ws'

const random = new SystemRandom()

export class BenchClient {
  readonly identity: Uint8Array
  /** Binary frames pushed, sealed, with the monotonic time of their arrival in nanoseconds. */
  pushes: { frame: Uint8Array; atNanos: bigint }[] = []
  readonly #crypto: CryptoProvider
  readonly #seed = random.bytes(32)
  #sharedKey = new Uint8Array(32)
  #websocket: WebSocket | undefined
  #onText: (response: ServerResponse) => void = () => {}
  #onPush = () => {}

  constructor(crypto: CryptoProvider) {
    this.#crypto = crypto
    this.identity = crypto.ed25519PublicKey(this.#seed)
  }

  async connect(port: number, localAddress = '127.0.0.1'): Promise<void> {
    const websocket = new WebSocket(`ws://127.0.0.1:${port}/`, { localAddress, perMessageDeflate: false })
    websocket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) {
        this.pushes.push({ frame: data, atNanos: process.hrtime.bigint() })
        this.#onPush()
        return
      }
      const response = parseServerResponse(data.toString('utf8'))
      if (response) this.#onText(response)
    })
    await once(websocket, 'open')
    websocket.on('error', () => {})
    this.#websocket = websocket
  }

  async ask(request: ClientRequest): Promise<ServerResponse> {
    const answer = this.#next()
    this.#websocket?.send(encodeClientRequest(request))
    return answer
  }

  async register(): Promise<void> {
    const crypto = this.#crypto
    const secret = random.bytes(32)
    const ephemeral = crypto.x25519Base(secret)
    const salt = random.bytes(16)
    const payload = (data: Uint8Array) =>
      ({ type: 'handshakePayload', protocol_version: CURRENT_PROTOCOL, data }) as const
    const answer = await this.ask(payload(encodeHandshakeInit({ identity: this.identity, ephemeral, salt })))
    if (answer.type !== 'handshakePayload') throw new Error(`registration: ${JSON.stringify(answer)}`)
    const material = decodeGatewayMaterial(answer.data)!
    this.#sharedKey = new Uint8Array(deriveSharedKey(crypto.x25519(secret, material.ephemeral)!, salt))
    const signature = crypto.ed25519Sign(handshakeSignedBytes(ephemeral, material.ephemeral), this.#seed)
    const registered = new Promise<void>((resolve, reject) => {
      this.#onText = ({ type }) => {
        if (type === 'register') resolve()
        else if (type !== 'handshakePayload') reject(new Error(`registration: ${type}`))
      }
    })
    this.#websocket?.send(encodeClientRequest(payload(sealSignature(this.#sharedKey, random.bytes(12), signature))))
    await registered
  }

  async authenticate(unixSeconds: number): Promise<void> {
    const nonce = random.bytes(12)
    const request = {
      protocolVersion: CURRENT_PROTOCOL,
      clientIdentity: this.identity,
      addressCiphertext: seal(this.#sharedKey, nonce, this.identity),
      nonce,
      requestUnixTimestamp: Math.floor(unixSeconds),
    }
    const requestSignature = this.#crypto.ed25519Sign(authenticationSignedBytes(request)!, this.#seed)
    const answer = await this.ask({ type: 'authenticateV2', ...request, requestSignature })
    if (answer.type !== 'authenticate') throw new Error(`authentication: ${JSON.stringify(answer)}`)
  }

  /** Resolves once so many pushes came in all. */
  async received(count: number): Promise<void> {
    while (this.pushes.length < count) {
      await new Promise<void>((resolve) => {
        this.#onPush = () => this.pushes.length >= count && resolve()
      })
    }
  }

  open(frame: Uint8Array): Uint8Array {
    const opened = openBinaryFrame(this.#sharedKey, frame)
    if (opened.kind !== 'opened') throw new Error(`a push cannot be opened: ${opened.error}`)
    return opened.plaintext
  }

  async drop(): Promise<void> {
    const websocket = this.#websocket
    if (websocket === undefined) return
    websocket.terminate()
    await once(websocket, 'close')
  }

  #next(): Promise<ServerResponse> {
    return new Promise((resolve) => {
      this.#onText = resolve
    })
  }
}
