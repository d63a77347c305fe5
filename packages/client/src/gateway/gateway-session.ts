/**
 * The client's side of one connection to a gateway, from the first text to the last (02-gateway §2.2, §4, §5, §8.1): messages
 * in, actions out. Sockets, deadlines and what is kept of a registration are `websocket-link.ts`'s.
 *
 * asking → handshake → confirming → registering → claiming → live, by a client that is not registered;
 * asking → authenticating → (claiming) → live, by one that is. Any answer that does not belong ends it.
 */
import { equalBytes, MixError, type Random } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import {
  AUTHENTICATE_V2,
  authenticationSignedBytes,
  type ClientRequest,
  CURRENT_PROTOCOL,
  decodeGatewayMaterial,
  deriveSharedKey,
  EMBEDDED_KEY_ROTATION,
  encodeClientRequest,
  encodeHandshakeInit,
  encodeMixPacket,
  FORWARD_SPHINX,
  FORWARD_SPHINX_V2,
  HANDSHAKE_DONE,
  HANDSHAKE_SALT_BYTES,
  handshakeSignedBytes,
  MAX_BINARY_BYTES,
  type MixPacket,
  NONCE_BYTES,
  openBinaryFrame,
  openSignature,
  PUSHED_MIX_MESSAGE,
  parseServerResponse,
  type ServerResponse,
  seal,
  sealBinaryFrame,
  sealSignature,
} from '@mixwright/wire'

export interface GatewaySessionOptions {
  readonly crypto: CryptoProvider
  readonly random: Random
  /** The client's Ed25519 seed, 32 bytes. */
  readonly identitySeed: Uint8Array
  /** The gateway's Ed25519 identity, 32 bytes. */
  readonly gatewayIdentity: Uint8Array
  /** The key of an earlier registration; without it the session registers. */
  readonly sharedKey: Uint8Array | undefined
  /** Unix seconds for an authentication; greater each time. */
  requestTime(): number
}

export type SessionAction =
  | { readonly kind: 'say'; readonly text: string }
  /** The gateway knows us from now on, by this key. */
  | { readonly kind: 'registered'; readonly sharedKey: Uint8Array; readonly protocolVersion: number }
  /** Packets may be sent. */
  | { readonly kind: 'live' }
  /** A message or an ack that the gateway pushed; also before `live`. */
  | { readonly kind: 'received'; readonly message: Uint8Array }
  /** The session is over; nothing follows. */
  | { readonly kind: 'failed'; readonly error: MixError }

/** What the session waits for an answer to. */
export type SessionStep = 'supportedProtocol' | 'handshake' | 'register' | 'authenticate' | 'claim'

type State =
  | { readonly kind: 'asking' }
  | {
      readonly kind: 'handshake'
      readonly proposed: number
      readonly secret: Uint8Array
      readonly ephemeral: Uint8Array
      readonly salt: Uint8Array
    }
  | { readonly kind: 'confirming' | 'registering' | 'authenticating' | 'claiming' }
  | { readonly kind: 'live'; readonly claiming: boolean }
  | { readonly kind: 'ended' }

const STEPS = {
  asking: 'supportedProtocol',
  handshake: 'handshake',
  confirming: 'handshake',
  registering: 'register',
  authenticating: 'authenticate',
  claiming: 'claim',
} as const

/** With less than this, bytes, a client asks for more: a fifth of what a ticket buys. */
const CLAIM_BELOW = 40_000_000

/** Texts by which a gateway says that the key it knows us by, if any, is not ours: registering anew mends that. */
const UNREGISTERED = /client is not registered|failed to verify provided address ciphertext/i

/** Characters kept of a text of the gateway. */
const LONGEST_REFUSAL = 200

export class GatewaySession {
  readonly #options: GatewaySessionOptions
  readonly #identity: Uint8Array
  #state: State = { kind: 'asking' }
  /** Known after the gateway's handshake message, or from the start. */
  #sharedKey: Uint8Array | undefined
  #protocolVersion = 0

  constructor(options: GatewaySessionOptions) {
    this.#options = options
    this.#identity = options.crypto.ed25519PublicKey(options.identitySeed)
    this.#sharedKey = options.sharedKey
  }

  /** What the gateway owes us an answer to; undefined when nothing. */
  get awaits(): SessionStep | undefined {
    const state = this.#state
    if (state.kind === 'live') return state.claiming ? 'claim' : undefined
    return state.kind === 'ended' ? undefined : STEPS[state.kind]
  }

  /** The connection is open. */
  onOpen(): SessionAction[] {
    return [say({ type: 'supportedProtocol' })]
  }

  /** A text message came. */
  onText(text: string): SessionAction[] {
    const answer = parseServerResponse(text)
    const state = this.#state
    if (state.kind === 'ended') return []
    if (answer?.type === 'error' || answer?.type === 'handshakeError') return this.#fail(this.#refusal(answer.message))
    if (state.kind === 'live') return this.#whileLive(answer, state)
    if (answer === undefined) return this.#fail(this.#misbehaviour('the answer is malformed'))
    switch (state.kind) {
      case 'asking':
        if (answer.type === 'supportedProtocol') return this.#introduce(Math.min(answer.version, CURRENT_PROTOCOL))
        break
      case 'handshake':
        if (answer.type === 'handshakePayload') return this.#confirm(answer, state)
        break
      case 'confirming':
        if (answer.type !== 'handshakePayload' || !equalBytes(answer.data, HANDSHAKE_DONE)) break
        this.#state = { kind: 'registering' }
        return []
      case 'registering':
        if (answer.type === 'register') return this.#registered(answer.protocolVersion)
        break
      case 'authenticating':
        if (answer.type === 'authenticate') return this.#authenticated(answer)
        break
      case 'claiming':
        if (answer.type === 'send') return []
        if (answer.type === 'bandwidth') return this.#goLive()
        break
    }
    return this.#fail(this.#misbehaviour(`the answer is of type ${answer.type}`))
  }

  /** A binary message came. */
  onBinary(data: Uint8Array): SessionAction[] {
    if (this.#state.kind === 'ended') return []
    if (this.#sharedKey === undefined) return this.#fail(this.#misbehaviour('it pushes before there is a key'))
    if (data.length > MAX_BINARY_BYTES) return this.#fail(this.#misbehaviour('a push is too large'))
    const frame = openBinaryFrame(this.#sharedKey, data)
    if (frame.kind === 'error') return this.#fail(this.#misbehaviour(`a push cannot be read (${frame.error})`))
    if (frame.frameKind !== PUSHED_MIX_MESSAGE) {
      return this.#fail(this.#misbehaviour(`a push has the unknown kind ${frame.frameKind}`))
    }
    return [{ kind: 'received', message: frame.plaintext }]
  }

  /** What `awaits` names did not come in time. */
  onDeadline(): SessionAction[] {
    const step = this.awaits
    const details = { kind: 'network', retry: true, data: { step } } as const
    return this.#fail(new MixError('MIX_GATEWAY_TIMEOUT', `The gateway did not answer (${step}).`, details))
  }

  /** Something harmless that the gateway answers at any time: a sign of life. */
  probe(): SessionAction[] {
    return this.#state.kind === 'live' ? [say({ type: 'supportedProtocol' })] : []
  }

  /** The binary message that carries a packet; undefined unless live. 30 bytes and the mix packet's header longer. */
  sealPacket(packet: MixPacket): Uint8Array | undefined {
    if (this.#state.kind !== 'live') return undefined
    const version = this.#protocolVersion >= EMBEDDED_KEY_ROTATION ? 2 : 1
    const kind = version === 2 ? FORWARD_SPHINX_V2 : FORWARD_SPHINX
    const nonce = this.#options.random.bytes(NONCE_BYTES)
    return sealBinaryFrame(this.#sharedKey!, kind, nonce, encodeMixPacket(packet, version))
  }

  /** The gateway's version is known: register, or authenticate. */
  #introduce(proposed: number): SessionAction[] {
    if (proposed < AUTHENTICATE_V2) return this.#fail(incompatible(proposed))
    return this.#sharedKey === undefined
      ? this.#beginHandshake(proposed)
      : this.#authenticate(proposed, this.#sharedKey)
  }

  #beginHandshake(proposed: number): SessionAction[] {
    const { crypto, random } = this.#options
    const secret = random.bytes(32)
    const ephemeral = crypto.x25519Base(secret)
    const salt = random.bytes(HANDSHAKE_SALT_BYTES)
    this.#state = { kind: 'handshake', proposed, secret, ephemeral, salt }
    const data = encodeHandshakeInit({ identity: this.#identity, ephemeral, salt })
    return [say({ type: 'handshakePayload', protocol_version: proposed, data })]
  }

  /** The gateway's part of the handshake: prove that it is the one we mean, then prove ourselves. */
  #confirm(
    answer: ServerResponse & { type: 'handshakePayload' },
    { proposed, secret, ephemeral, salt }: State & { kind: 'handshake' },
  ): SessionAction[] {
    const { crypto, random, identitySeed, gatewayIdentity } = this.#options
    if (answer.protocolVersion > CURRENT_PROTOCOL) return this.#fail(incompatible(answer.protocolVersion))
    const material = decodeGatewayMaterial(answer.data)
    if (material === undefined) return this.#fail(this.#misbehaviour('its key material has a wrong length'))
    const agreed = crypto.x25519(secret, material.ephemeral)
    secret.fill(0)
    const sharedKey = agreed && deriveSharedKey(agreed, salt)
    const signature = sharedKey && openSignature(sharedKey, material.sealedSignature)
    const signed = handshakeSignedBytes(material.ephemeral, ephemeral)
    if (!sharedKey || !signature || !crypto.ed25519Verify(signature, signed, gatewayIdentity)) {
      return this.#fail(impostor())
    }
    this.#sharedKey = sharedKey
    this.#state = { kind: 'confirming' }
    const own = crypto.ed25519Sign(handshakeSignedBytes(ephemeral, material.ephemeral), identitySeed)
    const data = sealSignature(sharedKey, random.bytes(NONCE_BYTES), own)
    return [say({ type: 'handshakePayload', protocol_version: proposed, data })]
  }

  #registered(protocolVersion: number): SessionAction[] {
    if (protocolVersion > CURRENT_PROTOCOL) return this.#fail(incompatible(protocolVersion))
    this.#protocolVersion = protocolVersion
    const registered: SessionAction = { kind: 'registered', sharedKey: this.#sharedKey!, protocolVersion }
    return [registered, ...this.#claim()]
  }

  #authenticate(protocolVersion: number, sharedKey: Uint8Array): SessionAction[] {
    const { crypto, random, identitySeed, requestTime } = this.#options
    const clientIdentity = this.#identity
    const nonce = random.bytes(NONCE_BYTES)
    const addressCiphertext = seal(sharedKey, nonce, clientIdentity)
    const request = { protocolVersion, clientIdentity, addressCiphertext, nonce, requestUnixTimestamp: requestTime() }
    const requestSignature = crypto.ed25519Sign(authenticationSignedBytes(request)!, identitySeed)
    this.#state = { kind: 'authenticating' }
    return [say({ type: 'authenticateV2', ...request, requestSignature })]
  }

  #authenticated(answer: ServerResponse & { type: 'authenticate' }): SessionAction[] {
    if (answer.protocolVersion > CURRENT_PROTOCOL) return this.#fail(incompatible(answer.protocolVersion))
    this.#protocolVersion = answer.protocolVersion
    return answer.bandwidthRemaining < CLAIM_BELOW ? this.#claim() : this.#goLive()
  }

  #claim(): SessionAction[] {
    this.#state = this.#state.kind === 'live' ? { kind: 'live', claiming: true } : { kind: 'claiming' }
    return [say({ type: 'claimFreeTestnetBandwidth' })]
  }

  #goLive(): SessionAction[] {
    this.#state = { kind: 'live', claiming: false }
    return [{ kind: 'live' }]
  }

  /** Texts that we do not understand are skipped here: whatever they are, nothing of ours depends on them. */
  #whileLive(answer: ServerResponse | undefined, { claiming }: State & { kind: 'live' }): SessionAction[] {
    switch (answer?.type) {
      case 'send':
        return !claiming && answer.remainingBandwidth < CLAIM_BELOW ? this.#claim() : []
      case 'typedError':
        // The packet is lost, and will be sent again as any packet that is not acknowledged.
        return claiming ? [] : this.#claim()
      case 'bandwidth':
        this.#state = { kind: 'live', claiming: false }
        return []
      default:
        return []
    }
  }

  #fail(error: MixError): SessionAction[] {
    this.#state = { kind: 'ended' }
    return [{ kind: 'failed', error }]
  }

  #refusal(text: string): MixError {
    // For a person to read: not too long, and without control characters.
    const message = text.slice(0, LONGEST_REFUSAL).replace(/\p{Cc}/gu, ' ')
    const step = this.awaits ?? 'live'
    const details = { kind: 'peer', retry: true, data: { step, message } } as const
    if (step === 'claim') {
      return new MixError('MIX_GATEWAY_BANDWIDTH', `The gateway gives no free bandwidth: ${message}`, details)
    }
    if (step === 'authenticate' && UNREGISTERED.test(message)) {
      return new MixError('MIX_GATEWAY_UNREGISTERED', `The gateway does not know this client: ${message}`, details)
    }
    return new MixError('MIX_GATEWAY_REFUSED', `The gateway refuses (${step}): ${message}`, details)
  }

  #misbehaviour(what: string): MixError {
    const step = this.awaits ?? 'live'
    const details = { kind: 'peer', retry: true, data: { step } } as const
    return new MixError('MIX_GATEWAY_ANSWER', `The gateway does not keep to the protocol (${step}): ${what}.`, details)
  }
}

function incompatible(version: number): MixError {
  const message = `The gateway speaks version ${version} of the protocol; ours are ${AUTHENTICATE_V2} to ${CURRENT_PROTOCOL}.`
  return new MixError('MIX_GATEWAY_PROTOCOL', message, { kind: 'peer', data: { version } })
}

function impostor(): MixError {
  const message = 'The gateway could not prove its identity: at its address is another one.'
  return new MixError('MIX_GATEWAY_IDENTITY', message, { kind: 'peer' })
}

function say(request: ClientRequest): SessionAction {
  return { kind: 'say', text: encodeClientRequest(request) }
}
