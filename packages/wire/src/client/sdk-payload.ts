/**
 * What apps built with Nym's npm SDK put into a message (04-client §4.20): metadata length u64 ‖ JSON metadata ‖ payload.
 * A convention between apps; a client carries it like any other bytes.
 */
import { concatBytes, utf8 } from '@mixwright/runtime'

const LENGTH_BYTES = 8

export interface SdkPayload {
  /** Such as `text/plain`; the SDK's own default is `application/octet-stream`. */
  readonly mimeType: string
  /** Free text of the app. */
  readonly headers: string | undefined
  readonly payload: Uint8Array
}

/** Write as the SDK does: compact JSON, `headers` null when there are none. */
export function encodeSdkPayload({ mimeType, headers, payload }: SdkPayload): Uint8Array {
  const metadata = utf8(JSON.stringify({ mimeType, headers: headers ?? null }))
  const length = new Uint8Array(LENGTH_BYTES)
  new DataView(length.buffer).setBigUint64(0, BigInt(metadata.length))
  return concatBytes(length, metadata, payload)
}

/** Read; undefined when it is none, as a message of `rawSend`. The payload is a view. */
export function decodeSdkPayload(bytes: Uint8Array): SdkPayload | undefined {
  if (bytes.length < LENGTH_BYTES) return undefined
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0)
  if (length > BigInt(bytes.length - LENGTH_BYTES)) return undefined
  const end = LENGTH_BYTES + Number(length)
  const metadata = parseMetadata(bytes.subarray(LENGTH_BYTES, end))
  if (typeof metadata !== 'object' || metadata === null) return undefined
  const { mimeType, headers = null } = metadata as { mimeType?: unknown; headers?: unknown }
  if (typeof mimeType !== 'string' || (headers !== null && typeof headers !== 'string')) return undefined
  return { mimeType, headers: headers ?? undefined, payload: bytes.subarray(end) }
}

function parseMetadata(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    return undefined
  }
}
