/**
 * JSON with exactly one spelling (03-directory §18): fields in the order of their schema, no spaces, nothing unknown. What
 * is signed is this text, and what came is only taken when it is this text, byte for byte: a document that was touched on
 * its way, be it by a blank, is refused.
 */
import { MixError } from '@mixwright/runtime'
import { fromJson, type Schema } from '../directory/schema.js'

/** The text. The value must be valid; error `MIX_DOCUMENT` else. */
export function canonicalJson<T>(schema: Schema<T>, value: T): string {
  return JSON.stringify(fromJson(schema, value))
}

/** The value of a canonical text of at most `maxBytes`; undefined when it is anything else. Never throws. */
export function parseCanonical<T>(schema: Schema<T>, bytes: Uint8Array, maxBytes: number): T | undefined {
  if (bytes.length > maxBytes) return undefined
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    const value = fromJson(schema, JSON.parse(text))
    return JSON.stringify(value) === text ? value : undefined
  } catch (error) {
    // No UTF-8, no JSON, nested too deeply, or not of this schema.
    if (error instanceof MixError || error instanceof SyntaxError || error instanceof TypeError) return undefined
    if (error instanceof RangeError) return undefined
    throw error
  }
}
