/**
 * What a network requester answers (06-service-providers §2.1, §2.3): control responses, and socks5 responses in their
 * legacy and versioned forms. The versions are those of the Connect request; connections are left to others.
 */
import { concatBytes, MixError, utf8 } from '@mixwright/runtime'
import { BincodeReader, BincodeWriter } from '../bincode.js'
import { bool, optional, string, struct } from '../directory/schema.js'
import { type ControlResponse, decodeControlResponse, encodeControlResponse } from './control.js'
import { type ExitPolicy, exitPolicySchema } from './exit-policy.js'
import { type Credit, decodeCredit, encodeCredit } from './provider-request.js'
import {
  CURRENT_VERSIONS,
  frameProviderData,
  type MalformedMessage,
  malformed,
  type ProviderVersion,
  type ProviderVersions,
  unframe,
  versionOf,
} from './provider-version.js'

const FLAGS = { data: 1, 'connection-error': 2, query: 3, credit: 0x10 } as const
const ID_BYTES = 8
const DATA_HEADER_BYTES = 17

export type ProviderResponse =
  | ControlResponse
  | {
      readonly kind: 'data'
      readonly versions: ProviderVersions
      readonly connectionId: bigint
      /** u64, counts the messages of the connection in this direction from 0. */
      readonly sequence: bigint
      readonly closed: boolean
      readonly data: Uint8Array
    }
  | {
      readonly kind: 'connection-error'
      readonly versions: ProviderVersions
      readonly connectionId: bigint
      readonly message: string
    }
  | { readonly kind: 'query'; readonly versions: ProviderVersions; readonly answer: QueryAnswer }
  | Credit

export type QueryAnswer =
  | { readonly kind: 'open-proxy'; readonly open: boolean }
  | { readonly kind: 'description'; readonly text: string }
  | {
      readonly kind: 'exit-policy'
      readonly enabled: boolean
      /** Where the policy comes from, an URL or empty. */
      readonly upstream: string
      readonly policy: ExitPolicy | undefined
    }
  | { readonly kind: 'error'; readonly message: string }

const exitPolicyAnswer = struct({ enabled: bool, upstream: string, policy: optional(exitPolicySchema) })

/**
 * Write a response as a whole message. A legacy socks5 response has no version byte, so that flags from 3 on would be read as
 * one: query answers and credits of a legacy pair are written in the current socks5 version.
 */
export function encodeProviderResponse(response: ProviderResponse): Uint8Array {
  if (response.kind === 'control') return encodeControlResponse(response)
  const { versions, kind } = response
  const hasNoLegacy = kind === 'query' || kind === 'credit'
  const socks5 = versions.socks5 === 'legacy' && hasNoLegacy ? CURRENT_VERSIONS.socks5 : versions.socks5
  const head = socks5 === 'legacy' ? [FLAGS[kind]] : [socks5, FLAGS[kind]]
  return frameProviderData(versions.interface, concatBytes(Uint8Array.from(head), ...bodyOf(response)))
}

/** Read a message, of any newer version too, as official clients do. Never throws. `data` is a view. */
export function decodeProviderResponse(bytes: Uint8Array): ProviderResponse | MalformedMessage {
  const outer = unframe(bytes)
  if (outer.kind === 'malformed') return outer
  try {
    if (outer.kind === 'control') return decodeControlResponse(outer.interfaceVersion, outer.body)
    return decodeSocks5Response(outer.interfaceVersion, outer.body)
  } catch (error) {
    // Texts that are not UTF-8 (a TypeError), JSON, bincode, and what is in the latter two.
    const isPeers = error instanceof TypeError || error instanceof SyntaxError || error instanceof MixError
    if (!isPeers) throw error
    return malformed('bad-content')
  }
}

function bodyOf(response: Exclude<ProviderResponse, ControlResponse>): Uint8Array[] {
  switch (response.kind) {
    case 'data': {
      const head = new Uint8Array(DATA_HEADER_BYTES)
      const view = new DataView(head.buffer)
      view.setUint8(0, response.closed ? 1 : 0)
      view.setBigUint64(1, response.connectionId)
      view.setBigUint64(1 + ID_BYTES, response.sequence)
      return [head, response.data]
    }
    case 'connection-error': {
      const id = new Uint8Array(ID_BYTES)
      new DataView(id.buffer).setBigUint64(0, response.connectionId)
      return [id, utf8(response.message)]
    }
    case 'query':
      return [encodeAnswer(response.answer)]
    case 'credit':
      return [encodeCredit(response)]
  }
}

function decodeSocks5Response(
  interfaceVersion: ProviderVersion,
  bytes: Uint8Array,
): ProviderResponse | MalformedMessage {
  if (bytes.length === 0) return malformed('too-short')
  const socks5 = versionOf(bytes[0]!)
  const versions = { interface: interfaceVersion, socks5 }
  const [flag, body] = socks5 === 'legacy' ? [bytes[0], bytes.subarray(1)] : [bytes[1], bytes.subarray(2)]
  switch (flag) {
    case FLAGS.data:
      return decodeData(versions, body)
    case FLAGS['connection-error']:
      return decodeConnectionError(versions, body)
    case FLAGS.query:
      return { kind: 'query', versions, answer: decodeAnswer(body) }
    case FLAGS.credit:
      return decodeCredit(versions, body)
    default:
      return malformed(flag === undefined ? 'too-short' : 'unknown-flag')
  }
}

function decodeData(versions: ProviderVersions, body: Uint8Array): ProviderResponse | MalformedMessage {
  if (body.length < DATA_HEADER_BYTES) return malformed('too-short')
  const view = new DataView(body.buffer, body.byteOffset, body.length)
  return {
    kind: 'data',
    versions,
    connectionId: view.getBigUint64(1),
    sequence: view.getBigUint64(1 + ID_BYTES),
    closed: view.getUint8(0) !== 0,
    data: body.subarray(DATA_HEADER_BYTES),
  }
}

function decodeConnectionError(versions: ProviderVersions, body: Uint8Array): ProviderResponse | MalformedMessage {
  if (body.length < ID_BYTES) return malformed('too-short')
  const connectionId = new DataView(body.buffer, body.byteOffset).getBigUint64(0)
  const message = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body.subarray(ID_BYTES))
  return { kind: 'connection-error', versions, connectionId, message }
}

/** Profile BV (§1.1). */
function encodeAnswer(answer: QueryAnswer): Uint8Array {
  const writer = new BincodeWriter('big')
  switch (answer.kind) {
    case 'open-proxy':
      writer.varint(0)
      bool.write(writer, answer.open)
      break
    case 'description':
      writer.varint(1)
      writer.string(answer.text)
      break
    case 'exit-policy':
      writer.varint(2)
      exitPolicyAnswer.write(writer, { ...answer, policy: answer.policy ?? null })
      break
    case 'error':
      writer.varint(3)
      writer.string(answer.message)
  }
  return writer.finish()
}

/** Throws `MIX_BINCODE`. */
function decodeAnswer(bytes: Uint8Array): QueryAnswer {
  const reader = new BincodeReader(bytes, 'big')
  const answer = readAnswer(reader)
  reader.finish()
  return answer
}

function readAnswer(reader: BincodeReader): QueryAnswer {
  switch (reader.varint(3)) {
    case 0:
      return { kind: 'open-proxy', open: bool.read(reader) }
    case 1:
      return { kind: 'description', text: reader.string() }
    case 2: {
      const { enabled, upstream, policy } = exitPolicyAnswer.read(reader)
      return { kind: 'exit-policy', enabled, upstream, policy: policy ?? undefined }
    }
    default:
      return { kind: 'error', message: reader.string() }
  }
}
