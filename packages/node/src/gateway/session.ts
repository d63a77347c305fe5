/**
 * One client connection, from the upgrade to its end (02-gateway §4–§8): what each message leads to, without knowing what
 * a websocket is. The socket, the clock and the stores are handed in.
 *
 * fresh → (registration handshake) → active; fresh → authenticate → active; active → forgotten, after ForgetMe.
 */
import type { Clock, Random, Timer } from '@mixwright/runtime'
import {
  type ClientRequest,
  CURRENT_PROTOCOL,
  decodeMixPacket,
  encodeServerResponse,
  FORWARD_SPHINX,
  FORWARD_SPHINX_V2,
  NONCE_BYTES,
  open,
  openBinaryFrame,
  type ServerResponse,
  seal,
} from '@mixwright/wire'
import { parseClientRequest, parseSensitiveRequest } from '@mixwright/wire/gateway-side'
import type { ActiveSession } from './active-clients.js'
import { authenticateClient, authenticateLegacyClient } from './authenticate-client.js'
import { OPEN_BANDWIDTH } from './bandwidth.js'
import { ClientDelivery, type DeliverySocket } from './client-delivery.js'
import type { ClientAddress } from './door/client-addresses.js'
import type { GatewayServices } from './gateway-services.js'
import { Registration } from './registration.js'
import { keyOf } from './store/client-store.js'

/** The connection under a session. */
export interface SessionSocket extends DeliverySocket {
  /** Where it comes from, and what it may still try there. */
  readonly address: ClientAddress
  /** Whether the client sent so much that it is not read for the moment: it lives, but may not hear us. */
  readonly throttled: boolean
  sendText(text: string): void
  ping(data: Uint8Array): void
  /** End the TCP connection without a Close frame: clients reconnect only then (02-gateway §1.2). */
  terminate(): void
  /** Stop, and go on, reading messages. */
  pause(): void
  resume(): void
}

interface ActiveState {
  readonly kind: 'active'
  readonly identity: Uint8Array
  readonly sharedKey: Uint8Array
  readonly delivery: ClientDelivery
  /** Monotonic, milliseconds. */
  readonly sinceMs: number
}

type State =
  | { readonly kind: 'fresh' }
  | { readonly kind: 'registering'; readonly registration: Registration }
  | ActiveState
  | { readonly kind: 'forgotten' }
  | { readonly kind: 'closed' }

/** Wait for each message of a client that has not authenticated, milliseconds. */
const FRESH_MESSAGE_MS = 10_000
/** Wait for the client's part of a handshake, milliseconds. */
const HANDSHAKE_MESSAGE_MS = 5_000
/** Messages that a client may send without authenticating. Official clients retry ten times on one socket. */
const FRESH_MESSAGES = 64
/** Wait for the pong of a session that a newcomer wants to replace, milliseconds. */
const LIVENESS_MS = 1_000

/** The answer to every packet: open bandwidth never changes. */
const SEND_TEXT = encodeServerResponse({ type: 'send', remainingBandwidth: OPEN_BANDWIDTH })

export class Session implements ActiveSession {
  readonly #socket: SessionSocket
  readonly #services: GatewayServices
  readonly #clock: Clock
  readonly #random: Random
  #state: State = { kind: 'fresh' }
  #freshMessages = 0
  #deadline: Timer | undefined
  #probe:
    | { readonly payload: Uint8Array; readonly answers: ((alive: boolean) => void)[]; readonly timer: Timer }
    | undefined

  constructor(socket: SessionSocket, services: GatewayServices) {
    this.#socket = socket
    this.#services = services
    this.#clock = services.clock
    this.#random = services.random
    this.#expectMessageWithin(FRESH_MESSAGE_MS)
  }

  /** A text message came. */
  onText(text: string): void {
    const request = parseClientRequest(text)
    switch (this.#state.kind) {
      case 'fresh':
        if (this.#countFresh()) this.#whileFresh(request)
        return
      case 'registering':
        if (this.#countFresh()) this.#whileRegistering(request, this.#state.registration)
        return
      case 'active':
        this.#whileActive(request, this.#state)
        return
      case 'forgotten':
        if (request?.type === 'supportedProtocol') this.#answerSupportedProtocol()
        else this.#refuse('Internal gateway storage error')
        return
      case 'closed':
    }
  }

  /** A binary message came. */
  onBinary(data: Uint8Array): void {
    switch (this.#state.kind) {
      case 'fresh':
        if (this.#countFresh()) {
          this.#refuse('possibly received a sphinx packet without prior authentication. Request is going to be ignored')
        }
        return
      case 'registering':
        this.#countFresh()
        return
      case 'active':
        this.#forward(data, this.#state)
        return
      case 'forgotten':
        this.#refuse('Internal gateway storage error')
        return
      case 'closed':
    }
  }

  /** A pong came; only one with the payload of our own ping matters. */
  onPong(payload: Uint8Array): void {
    if (this.#probe && Buffer.compare(payload, this.#probe.payload) === 0) this.#endProbe(true)
  }

  /** The connection is gone, whoever ended it. */
  onClosed(): void {
    const state = this.#state
    this.#state = { kind: 'closed' }
    this.#deadline?.cancel()
    this.#endProbe(false)
    if (state.kind === 'active') this.#leave(state)
  }

  /** Drop the connection. */
  terminate(): void {
    this.#socket.terminate()
  }

  /** A message for this client; see `Gateway.deliver`. False when the session is over and cannot take it. */
  deliver(message: Uint8Array, accepted: () => void): boolean {
    if (this.#state.kind !== 'active') return false
    this.#state.delivery.deliver(message, accepted)
    return true
  }

  /** Ask whether the client is still there: a ping, and its pong within a second. */
  isAlive(): Promise<boolean> {
    if (this.#state.kind === 'closed') return Promise.resolve(false)
    if (this.#socket.throttled) return Promise.resolve(true)
    return new Promise((resolve) => {
      if (this.#probe === undefined) {
        const payload = this.#random.bytes(8)
        const timer = this.#clock.setTimer(LIVENESS_MS, () => this.#endProbe(false))
        this.#probe = { payload, answers: [], timer }
        this.#socket.ping(payload)
      }
      this.#probe.answers.push(resolve)
    })
  }

  #endProbe(alive: boolean): void {
    const probe = this.#probe
    this.#probe = undefined
    probe?.timer.cancel()
    for (const answer of probe?.answers ?? []) answer(alive)
  }

  /** Bounds what an unauthenticated client may cost; false when it went too far and was dropped. */
  #countFresh(): boolean {
    if (++this.#freshMessages > FRESH_MESSAGES || !this.#socket.address.mayAttempt()) {
      this.terminate()
      return false
    }
    this.#expectMessageWithin(this.#state.kind === 'registering' ? HANDSHAKE_MESSAGE_MS : FRESH_MESSAGE_MS)
    return true
  }

  #expectMessageWithin(limitMs: number): void {
    this.#deadline?.cancel()
    this.#deadline = this.#clock.setTimer(limitMs, () => this.#onDeadline(), { background: true })
  }

  #onDeadline(): void {
    if (this.#state.kind === 'registering') {
      this.#send({ type: 'handshakeError', message: 'timed out while waiting for the handshake message' })
    }
    this.terminate()
  }

  #whileFresh(request: ClientRequest | undefined): void {
    switch (request?.type) {
      case 'supportedProtocol':
        return this.#answerSupportedProtocol()
      case 'handshakePayload':
      case 'registerHandshakeInitRequest':
        return this.#beginRegistration(request)
      case 'authenticateV2':
        return this.#authenticate(authenticateClient(request, this.#services))
      case 'authenticate':
        return this.#authenticate(authenticateLegacyClient(request, this.#services))
      default:
        return this.#refuse("Only 'Register' or 'Authenticate' requests are allowed")
    }
  }

  #beginRegistration(request: ClientRequest & { type: 'handshakePayload' | 'registerHandshakeInitRequest' }): void {
    if (!this.#socket.address.mayRegister()) {
      this.#services.counted('registrations', 'refused')
      this.#send({ type: 'handshakeError', message: 'too many registrations from this address, try again later' })
      return
    }
    const registration = Registration.begin(request.data, request.protocol_version, this.#services)
    if (typeof registration === 'string') {
      this.#services.counted('registrations', 'refused')
      this.#send({ type: 'handshakeError', message: registration })
      return
    }
    this.#unlessConnectedElsewhere(registration.identity, () => {
      this.#state = { kind: 'registering', registration }
      this.#expectMessageWithin(HANDSHAKE_MESSAGE_MS)
      this.#send(registration.material)
    })
  }

  /** Texts that are no handshake messages are skipped, as in the official gateway. */
  #whileRegistering(request: ClientRequest | undefined, registration: Registration): void {
    if (request?.type === 'handshakeError') return this.terminate()
    if (request?.type !== 'handshakePayload') return
    const outcome = registration.finish(request.data)
    if (outcome.kind === 'refused') {
      this.#services.counted('registrations', 'refused')
      this.#state = { kind: 'fresh' }
      this.#send({ type: 'handshakeError', message: outcome.reason })
      return
    }
    try {
      this.#services.clients.register(registration.identity, registration.sharedKey)
    } catch (error) {
      this.#services.logger.error({ reason: (error as Error).message }, 'a registration could not be stored')
      this.#state = { kind: 'fresh' }
      this.#send({ type: 'handshakeError', message: 'Internal gateway storage error' })
      return
    }
    this.#services.counted('registrations', 'accepted')
    this.#send(outcome.done)
    this.#send(outcome.registered)
    // Shipped clients close this connection now and authenticate on another; what is pushed here would be lost.
    // So stored messages wait until the client shows that it goes on.
    this.#activate(registration.identity, registration.sharedKey)
  }

  #authenticate(result: ReturnType<typeof authenticateClient>): void {
    if (result.kind === 'refused') {
      this.#services.counted('authentications', 'refused')
      return this.#refuse(result.reason)
    }
    this.#unlessConnectedElsewhere(result.identity, () => {
      try {
        result.remember()
      } catch (error) {
        this.#services.logger.error({ reason: (error as Error).message }, 'an authentication could not be stored')
        return this.#refuse('Internal gateway storage error')
      }
      this.#services.counted('authentications', 'accepted')
      const { protocolVersion } = result
      this.#send({ type: 'authenticate', protocolVersion, bandwidthRemaining: OPEN_BANDWIDTH })
      this.#activate(result.identity, result.sharedKey).start()
    })
  }

  #activate(identity: Uint8Array, sharedKey: Uint8Array): ClientDelivery {
    const { clock, mailbox, metrics, active, statistics } = this.#services
    const delivery = new ClientDelivery(identity, sharedKey, this.#socket, mailbox, this.#random, metrics)
    this.#deadline?.cancel()
    this.#state = { kind: 'active', identity, sharedKey, delivery, sinceMs: clock.monotonic() }
    active.enter(identity, this)
    statistics.started(keyOf(identity))
    return delivery
  }

  /** Go on at once, or after the client's other session proved dead; refuse when it lives. Nothing is read meanwhile. */
  #unlessConnectedElsewhere(identity: Uint8Array, goOn: () => void): void {
    const other = this.#services.active.find(identity)
    if (other === undefined || other === this) return goOn()
    this.#socket.pause()
    void other.isAlive().then((alive) => {
      if (this.#state.kind === 'closed') return
      if (alive) this.#refuse('There is already an open connection to this client')
      else goOn()
      this.#socket.resume()
    })
  }

  #whileActive(request: ClientRequest | undefined, state: ActiveState): void {
    switch (request?.type) {
      case undefined:
        return this.#refuse('Provided text request was malformed')
      case 'supportedProtocol':
        return this.#answerSupportedProtocol()
      case 'claimFreeTestnetBandwidth':
      case 'ecashCredential':
      case 'upgradeModeJWT':
        this.#send({ type: 'bandwidth', availableTotal: OPEN_BANDWIDTH })
        return state.delivery.start()
      case 'encryptedRequest':
        return this.#sensitive(request, state)
      default:
        return this.#refuse('This request is not allowed on an authenticated connection')
    }
  }

  #sensitive(request: ClientRequest & { type: 'encryptedRequest' }, state: ActiveState): void {
    const plaintext = open(state.sharedKey, request.nonce, request.ciphertext)
    const parsed = plaintext && parseSensitiveRequest(plaintext)
    if (parsed === undefined) return this.#refuseAndTerminate('Provided encrypted request was malformed')
    const forget = 'ForgetMe' in parsed && parsed.ForgetMe.client
    if (forget) {
      try {
        this.#services.mailbox.forget(state.identity)
        this.#services.clients.forget(state.identity)
      } catch (error) {
        this.#services.logger.error({ reason: (error as Error).message }, 'a client could not be forgotten')
        return this.#refuseAndTerminate('Internal gateway storage error')
      }
    }
    const answer = new TextEncoder().encode(
      JSON.stringify('ForgetMe' in parsed ? { ForgetMeAck: {} } : { RememberMeAck: {} }),
    )
    const nonce = this.#random.bytes(NONCE_BYTES)
    this.#send({ type: 'encryptedResponse', ciphertext: seal(state.sharedKey, nonce, answer), nonce })
    if (!forget) return
    this.#leave(state)
    this.#state = { kind: 'forgotten' }
  }

  #leave({ delivery, identity, sinceMs }: ActiveState): void {
    delivery.close()
    this.#services.active.leave(identity, this)
    this.#services.statistics.finished(this.#clock.monotonic() - sinceMs)
  }

  #forward(data: Uint8Array, state: ActiveState): void {
    const frame = openBinaryFrame(state.sharedKey, data)
    if (frame.kind === 'error')
      return this.#refuseAndTerminate(`Provided binary request was malformed - ${frame.error}`)
    const { frameKind, plaintext } = frame
    if (frameKind !== FORWARD_SPHINX && frameKind !== FORWARD_SPHINX_V2) {
      return this.#refuseAndTerminate(
        `Provided binary request was malformed - received request with an unknown kind: ${frameKind}`,
      )
    }
    const decoded = decodeMixPacket(plaintext, frameKind === FORWARD_SPHINX_V2 ? 2 : 1)
    if (decoded.kind === 'error') {
      return this.#refuseAndTerminate(`Provided binary request was malformed - ${decoded.error}`)
    }
    this.#services.forwarded.increment()
    this.#services.forward(decoded.mixPacket)
    this.#socket.sendText(SEND_TEXT)
    state.delivery.start()
  }

  #answerSupportedProtocol(): void {
    this.#send({ type: 'supportedProtocol', version: CURRENT_PROTOCOL })
  }

  #send(response: ServerResponse): void {
    this.#socket.sendText(encodeServerResponse(response))
  }

  /** Refused, but the connection stays: official clients try again on the same one. */
  #refuse(message: string): void {
    this.#send({ type: 'error', message })
  }

  /** An official client stops reading after such an error and comes back only over a new connection. */
  #refuseAndTerminate(message: string): void {
    this.#refuse(message)
    this.terminate()
  }
}
