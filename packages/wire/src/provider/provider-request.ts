/**
 * What a client asks of a network requester (06-service-providers §2.1, §2.2): control requests, and socks5 requests in
 * their legacy and versioned forms. Connections and their order are left to others.
 *
 * Credit is an extension of ours: a flag that official requesters drop silently.
 */
import { concatBytes, utf8 } from '@mixwright/runtime'
import { decodeRecipient, encodeRecipient, type PointCheck, type Recipient } from '../recipient.js'
import { lossyText } from '../websocket-api/message-data.js'
import { type ControlRequest, decodeControlRequest, encodeControlRequest } from './control.js'
import {
  frameProviderData,
  type MalformedMessage,
  malformed,
  NEWEST_SOCKS5,
  type ProviderVersion,
  type ProviderVersions,
  unframe,
  versionByte,
  versionOf,
} from './provider-version.js'

const FLAGS = { connect: 0, send: 1, query: 2, credit: 0x10 } as const
const QUERIES = ['open-proxy', 'description', 'exit-policy'] as const
const ID_BYTES = 8
const SEND_HEADER_BYTES = 17

export type ProviderRequest =
  | ControlRequest
  | {
      readonly kind: 'connect'
      readonly versions: ProviderVersions
      /** u64, random. */
      readonly connectionId: bigint
      /** `host:port`, at most 65535 bytes of UTF-8; see `splitRemote`. */
      readonly remote: string
      /** Undefined: answers go to the reply blocks that the message came with. */
      readonly returnAddress: Recipient | undefined
    }
  | {
      readonly kind: 'send'
      readonly versions: ProviderVersions
      readonly connectionId: bigint
      /** u64, counts the messages of the connection in this direction from 0. */
      readonly sequence: bigint
      readonly closed: boolean
      readonly data: Uint8Array
    }
  | { readonly kind: 'query'; readonly versions: ProviderVersions; readonly query: (typeof QUERIES)[number] }
  | {
      readonly kind: 'credit'
      readonly versions: ProviderVersions
      readonly connectionId: bigint
      /** u64: so many data bytes of this connection are taken, from its start. The largest one counts. */
      readonly limit: bigint
    }

/** Write a request as a whole message. Throws a `RangeError` for a `remote` that is too long. */
export function encodeProviderRequest(request: ProviderRequest): Uint8Array {
  if (request.kind === 'control') return encodeControlRequest(request)
  const { versions, kind } = request
  const head = Uint8Array.of(versionByte(versions.socks5), FLAGS[kind])
  return frameProviderData(versions.interface, concatBytes(head, ...bodyOf(request)))
}

/** Read a message. Never throws. `data` is a view; `isKey` tells keys of a return address from arbitrary bytes. */
export function decodeProviderRequest(bytes: Uint8Array, isKey: PointCheck): ProviderRequest | MalformedMessage {
  const outer = unframe(bytes)
  if (outer.kind === 'malformed') return outer
  if (outer.kind === 'control') return decodeControlRequest(outer.interfaceVersion, outer.body)
  return decodeSocks5Request(outer.interfaceVersion, outer.body, isKey)
}

function bodyOf(request: Exclude<ProviderRequest, ControlRequest>): Uint8Array[] {
  switch (request.kind) {
    case 'connect': {
      const remote = utf8(request.remote)
      if (remote.length > 0xffff) throw new RangeError(`a remote of ${remote.length} bytes`)
      const head = new Uint8Array(ID_BYTES + 2)
      const view = new DataView(head.buffer)
      view.setBigUint64(0, request.connectionId)
      view.setUint16(ID_BYTES, remote.length)
      return request.returnAddress ? [head, remote, encodeRecipient(request.returnAddress)] : [head, remote]
    }
    case 'send': {
      const head = new Uint8Array(SEND_HEADER_BYTES)
      const view = new DataView(head.buffer)
      view.setBigUint64(0, request.connectionId)
      view.setUint8(ID_BYTES, request.closed ? 1 : 0)
      view.setBigUint64(ID_BYTES + 1, request.sequence)
      return [head, request.data]
    }
    case 'query':
      return [Uint8Array.of(QUERIES.indexOf(request.query))]
    case 'credit':
      return [encodeCredit(request)]
  }
}

function decodeSocks5Request(
  interfaceVersion: ProviderVersion,
  bytes: Uint8Array,
  isKey: PointCheck,
): ProviderRequest | MalformedMessage {
  const [version, flag] = bytes
  if (version === undefined) return malformed('too-short')
  if (version > NEWEST_SOCKS5) return malformed('unsupported-version')
  const versions = { interface: interfaceVersion, socks5: versionOf(version) }
  const body = bytes.subarray(2)
  switch (flag) {
    case FLAGS.connect:
      return decodeConnect(versions, body, isKey)
    case FLAGS.send:
      return decodeSend(versions, body)
    case FLAGS.query:
      return decodeQuery(versions, body)
    case FLAGS.credit:
      return decodeCredit(versions, body)
    default:
      return malformed(flag === undefined ? 'too-short' : 'unknown-flag')
  }
}

function decodeConnect(
  versions: ProviderVersions,
  body: Uint8Array,
  isKey: PointCheck,
): ProviderRequest | MalformedMessage {
  if (body.length < ID_BYTES + 2) return malformed('too-short')
  const view = viewOf(body)
  const end = ID_BYTES + 2 + view.getUint16(ID_BYTES)
  if (body.length < end) return malformed('too-short')
  const address = body.subarray(end)
  const returnAddress = decodeRecipient(address, isKey)
  if (address.length > 0 && returnAddress === undefined) return malformed('bad-return-address')
  const remote = lossyText(body.subarray(ID_BYTES + 2, end))
  return { kind: 'connect', versions, connectionId: view.getBigUint64(0), remote, returnAddress }
}

function decodeSend(versions: ProviderVersions, body: Uint8Array): ProviderRequest | MalformedMessage {
  if (body.length < SEND_HEADER_BYTES) return malformed('too-short')
  const view = viewOf(body)
  return {
    kind: 'send',
    versions,
    connectionId: view.getBigUint64(0),
    sequence: view.getBigUint64(ID_BYTES + 1),
    closed: view.getUint8(ID_BYTES) !== 0,
    data: body.subarray(SEND_HEADER_BYTES),
  }
}

/** One byte: as an enum index of bincode it could be longer, but no writer makes it so. */
function decodeQuery(versions: ProviderVersions, body: Uint8Array): ProviderRequest | MalformedMessage {
  const query = body.length === 1 ? QUERIES[body[0]!] : undefined
  return query === undefined ? malformed('bad-query') : { kind: 'query', versions, query }
}

export interface Credit {
  readonly kind: 'credit'
  readonly versions: ProviderVersions
  readonly connectionId: bigint
  readonly limit: bigint
}

/** The body, 16 bytes, is the same in requests and responses. */
export function encodeCredit({ connectionId, limit }: Credit): Uint8Array {
  const bytes = new Uint8Array(2 * ID_BYTES)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, connectionId)
  view.setBigUint64(ID_BYTES, limit)
  return bytes
}

export function decodeCredit(versions: ProviderVersions, body: Uint8Array): Credit | MalformedMessage {
  if (body.length !== 2 * ID_BYTES) return malformed('bad-credit')
  const view = viewOf(body)
  return { kind: 'credit', versions, connectionId: view.getBigUint64(0), limit: view.getBigUint64(ID_BYTES) }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}
