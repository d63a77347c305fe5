/**
 * The gateway's side of one registration handshake (02-gateway §4): from the client's first message to a shared key that
 * both have signed for. Two steps, each a function of what came; waiting is the session's.
 */
import type { Random } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import {
  decodeHandshakeInit,
  deriveSharedKey,
  encodeGatewayMaterial,
  HANDSHAKE_DONE,
  handshakeProtocol,
  handshakeSignedBytes,
  NONCE_BYTES,
  openSignature,
  registeredProtocol,
  type ServerResponse,
  sealSignature,
} from '@mixwright/wire'

export interface RegistrationServices {
  readonly crypto: CryptoProvider
  readonly random: Random
  /** Ed25519 seed of the gateway. */
  readonly identitySeed: Uint8Array
}

export type RegistrationOutcome =
  | { readonly kind: 'registered'; readonly done: ServerResponse; readonly registered: ServerResponse }
  | { readonly kind: 'refused'; readonly reason: string }

export class Registration {
  /** Ed25519 identity of the client; not yet proven. */
  readonly identity: Uint8Array
  readonly sharedKey: Uint8Array
  /** Message 2, to be sent. */
  readonly material: ServerResponse
  readonly #crypto: CryptoProvider
  readonly #clientSigned: Uint8Array
  readonly #proposed: number

  private constructor(
    identity: Uint8Array,
    sharedKey: Uint8Array,
    material: ServerResponse,
    crypto: CryptoProvider,
    clientSigned: Uint8Array,
    proposed: number,
  ) {
    this.identity = identity
    this.sharedKey = sharedKey
    this.material = material
    this.#crypto = crypto
    this.#clientSigned = clientSigned
    this.#proposed = proposed
  }

  /** Take message 1; a text says why it is refused. */
  static begin(
    data: Uint8Array,
    proposed: number,
    { crypto, random, identitySeed }: RegistrationServices,
  ): Registration | string {
    const init = decodeHandshakeInit(data)
    if (init === undefined) return 'the handshake message has the wrong length'
    const secret = random.bytes(32)
    const ephemeral = crypto.x25519Base(secret)
    const agreed = crypto.x25519(secret, init.ephemeral)
    if (agreed === undefined) return 'the ephemeral key is of low order'
    const sharedKey = deriveSharedKey(agreed, init.salt)
    const signature = crypto.ed25519Sign(handshakeSignedBytes(ephemeral, init.ephemeral), identitySeed)
    const sealed = sealSignature(sharedKey, random.bytes(NONCE_BYTES), signature)
    const material: ServerResponse = {
      type: 'handshakePayload',
      protocolVersion: handshakeProtocol(proposed),
      data: encodeGatewayMaterial(ephemeral, sealed),
    }
    return new Registration(
      init.identity,
      sharedKey,
      material,
      crypto,
      handshakeSignedBytes(init.ephemeral, ephemeral),
      proposed,
    )
  }

  /** Take message 3. */
  finish(data: Uint8Array): RegistrationOutcome {
    const signature = openSignature(this.sharedKey, data)
    if (signature === undefined) return { kind: 'refused', reason: 'the handshake material could not be decrypted' }
    if (!this.#crypto.ed25519Verify(signature, this.#clientSigned, this.identity)) {
      return { kind: 'refused', reason: 'received invalid signature' }
    }
    return {
      kind: 'registered',
      done: { type: 'handshakePayload', protocolVersion: handshakeProtocol(this.#proposed), data: HANDSHAKE_DONE },
      registered: { type: 'register', protocolVersion: registeredProtocol(this.#proposed) },
    }
  }
}
