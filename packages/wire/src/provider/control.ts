/**
 * The control messages of a provider (06-service-providers §2.1): what it is and what it speaks. They exist in the versioned
 * interface only.
 */
import { concatBytes, utf8 } from '@mixwright/runtime'
import { type BuildInformation, buildInformationSchema } from '../directory/documents.js'
import { fromJson, string, struct } from '../directory/schema.js'
import { CONTROL, type MalformedMessage, malformed } from './provider-version.js'

const REQUESTS = ['health', 'binary-info', 'supported-request-versions'] as const

export interface ControlRequest {
  readonly kind: 'control'
  /** 3 or more. */
  readonly interfaceVersion: number
  readonly request: (typeof REQUESTS)[number]
}

export interface ControlResponse {
  readonly kind: 'control'
  /** That of the request. */
  readonly interfaceVersion: number
  readonly answer:
    | { readonly kind: 'health' }
    | { readonly kind: 'binary-info'; readonly binaryName: string; readonly build: BuildInformation }
    | {
        readonly kind: 'supported-request-versions'
        /** Each a JSON text, such as `{"type":"Versioned","version":3}`. */
        readonly interfaceVersion: string
        readonly providerVersion: string
      }
    | { readonly kind: 'error'; readonly message: string }
}

const TAGS = { health: 0, 'binary-info': 1, 'supported-request-versions': 2, error: 0xff } as const

const binaryInfoSchema = struct({ binary_name: string, build_information: buildInformationSchema })
const supportedVersionsSchema = struct({ interface_version: string, provider_version: string })
const errorSchema = struct({ message: string })

/** 3 bytes. */
export function encodeControlRequest({ interfaceVersion, request }: ControlRequest): Uint8Array {
  return Uint8Array.of(interfaceVersion, CONTROL, REQUESTS.indexOf(request))
}

/** Read what follows the outer frame. Bytes behind the first are ignored, as official providers do. */
export function decodeControlRequest(interfaceVersion: number, body: Uint8Array): ControlRequest | MalformedMessage {
  if (body.length === 0) return malformed('too-short')
  const request = REQUESTS[body[0]!]
  return request === undefined ? malformed('unknown-control') : { kind: 'control', interfaceVersion, request }
}

/** 3 bytes and JSON. */
export function encodeControlResponse({ interfaceVersion, answer }: ControlResponse): Uint8Array {
  return concatBytes(Uint8Array.of(interfaceVersion, CONTROL, TAGS[answer.kind]), utf8(jsonOf(answer)))
}

/** Read what follows the outer frame. */
export function decodeControlResponse(interfaceVersion: number, body: Uint8Array): ControlResponse | MalformedMessage {
  if (body.length === 0) return malformed('too-short')
  const answer = answerOf(body[0]!, body.subarray(1))
  return answer === undefined ? malformed('unknown-control') : { kind: 'control', interfaceVersion, answer }
}

function jsonOf(answer: ControlResponse['answer']): string {
  switch (answer.kind) {
    case 'health':
      return ''
    case 'binary-info':
      return JSON.stringify({ binary_name: answer.binaryName, build_information: answer.build })
    case 'supported-request-versions':
      return JSON.stringify({ interface_version: answer.interfaceVersion, provider_version: answer.providerVersion })
    case 'error':
      return JSON.stringify({ message: answer.message })
  }
}

/** Undefined for an unknown tag; throws for JSON that is none, or lacks something. */
function answerOf(tag: number, body: Uint8Array): ControlResponse['answer'] | undefined {
  switch (tag) {
    case TAGS.health:
      return { kind: 'health' }
    case TAGS['binary-info']: {
      const info = fromJson(binaryInfoSchema, withTriple(parseJson(body)))
      return { kind: 'binary-info', binaryName: info.binary_name, build: info.build_information }
    }
    case TAGS['supported-request-versions']: {
      const versions = fromJson(supportedVersionsSchema, parseJson(body))
      return {
        kind: 'supported-request-versions',
        interfaceVersion: versions.interface_version,
        providerVersion: versions.provider_version,
      }
    }
    case TAGS.error:
      return { kind: 'error', message: fromJson(errorSchema, parseJson(body)).message }
    default:
      return undefined
  }
}

function parseJson(bytes: Uint8Array): unknown {
  return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
}

/** Older providers do not say what they were compiled for. */
function withTriple(info: unknown): unknown {
  const build = (info as { build_information?: object } | null)?.build_information
  return typeof build === 'object'
    ? { ...(info as object), build_information: { cargo_triple: 'unknown', ...build } }
    : info
}
