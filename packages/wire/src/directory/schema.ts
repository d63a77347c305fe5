/**
 * How a directory document is described, once, for both of its encodings (03-directory §3). A value of type `T` is the
 * JSON value itself; its schema checks one that came as JSON and reads and writes it as bincode, fields in declaration order.
 */
import { MixError } from '@mixwright/runtime'
import { decodeNodeAddress, encodeNodeAddress, nodeAddress } from '@mixwright/sphinx'
import { BincodeReader, BincodeWriter, type ByteOrder, malformed } from '../bincode.js'

export interface Schema<T> {
  write(writer: BincodeWriter, value: T): void
  read(reader: BincodeReader): T
  /** Check a JSON value. Unknown fields are dropped, fields come out in declaration order. `path` is for the error. */
  check(value: unknown, path: string): T
}

export type ValueOf<S> = S extends Schema<infer T> ? T : never

/** The value as bincode; the directory's byte order unless another is named. */
export function toBincode<T>(schema: Schema<T>, value: T, order: ByteOrder = 'little'): Uint8Array {
  const writer = new BincodeWriter(order)
  schema.write(writer, value)
  return writer.finish()
}

/** Read a whole bincode document. Error: `MIX_BINCODE`, kind `peer`. */
export function fromBincode<T>(schema: Schema<T>, bytes: Uint8Array, order: ByteOrder = 'little'): T {
  const reader = new BincodeReader(bytes, order)
  const value = schema.read(reader)
  reader.finish()
  return value
}

/** Check a parsed JSON document. Error: `MIX_DOCUMENT`, kind `peer`, naming the field. */
export function fromJson<T>(schema: Schema<T>, value: unknown): T {
  return schema.check(value, '')
}

/** What `check` throws: `MIX_DOCUMENT`, kind `peer`, naming the field. */
export function wrong(path: string, expected: string): MixError {
  const message = `The document is malformed: ${path === '' ? 'it' : path} should be ${expected}.`
  return new MixError('MIX_DOCUMENT', message, { kind: 'peer', data: { path, expected } })
}

function integer(bits: 8 | 16 | 32 | 53): Schema<number> {
  const maximum = 2 ** bits - 1
  return {
    // Eight bits are a raw byte, everything wider a varint.
    write: (writer, value) => (bits === 8 ? writer.byte(value) : writer.varint(value)),
    read: (reader) => (bits === 8 ? reader.byte() : reader.varint(maximum)),
    check(value, path) {
      if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > maximum) {
        throw wrong(path, `an integer between 0 and ${maximum}`)
      }
      return value
    },
  }
}

export const u8 = integer(8)
export const u16 = integer(16)
export const u32 = integer(32)
/** u64 and usize, as far as JavaScript counts exactly. */
export const u64 = integer(53)

export const bool: Schema<boolean> = {
  write: (writer, value) => writer.byte(value ? 1 : 0),
  read(reader) {
    const byte = reader.byte()
    if (byte > 1) throw malformed('a boolean is neither 0 nor 1')
    return byte === 1
  },
  check(value, path) {
    if (typeof value !== 'boolean') throw wrong(path, 'a boolean')
    return value
  },
}

export const string: Schema<string> = {
  write: (writer, value) => writer.string(value),
  read: (reader) => reader.string(),
  check(value, path) {
    if (typeof value !== 'string') throw wrong(path, 'a text')
    return value
  },
}

/** A text that must match; `expected` says what it is. Keys, times and the like are texts in both encodings. */
export function text(isValid: (value: string) => boolean, expected: string): Schema<string> {
  return {
    write: string.write,
    read(reader) {
      const value = reader.string()
      if (!isValid(value)) throw malformed(`a text is not ${expected}`)
      return value
    },
    check(value, path) {
      if (typeof value !== 'string' || !isValid(value)) throw wrong(path, expected)
      return value
    },
  }
}

/** An IP address: canonical text in JSON, family and octets in bincode. */
export const ipAddress: Schema<string> = {
  write(writer, value) {
    const address = nodeAddress(value, 0)
    if (address === undefined) throw wrong('an address', 'an IP address')
    writer.byte(address.family === 4 ? 0 : 1)
    // Family and port come before the octets in a node address.
    writer.bytes(encodeNodeAddress(address).subarray(3))
  },
  read(reader) {
    const variant = reader.varint(1)
    const octets = reader.bytes(variant === 0 ? 4 : 16)
    return decodeNodeAddress(Uint8Array.of(variant === 0 ? 4 : 6, 0, 0, ...octets))!.address.host
  },
  check(value, path) {
    const address = typeof value === 'string' ? nodeAddress(value, 0) : undefined
    if (address === undefined) throw wrong(path, 'an IP address')
    return address.host
  },
}

/** `null` or a value. Absent JSON fields read as `null`. */
export function optional<T>(inner: Schema<T>): Schema<T | null> {
  return {
    write(writer, value) {
      writer.byte(value === null ? 0 : 1)
      if (value !== null) inner.write(writer, value)
    },
    read: (reader) => (bool.read(reader) ? inner.read(reader) : null),
    check: (value, path) => (value === null || value === undefined ? null : inner.check(value, path)),
  }
}

export function list<T>(inner: Schema<T>): Schema<T[]> {
  return {
    write(writer, values) {
      writer.varint(values.length)
      for (const value of values) inner.write(writer, value)
    },
    read: (reader) => Array.from({ length: reader.count() }, () => inner.read(reader)),
    check(value, path) {
      if (!Array.isArray(value)) throw wrong(path, 'a list')
      return value.map((item, index) => inner.check(item, `${path}[${index}]`))
    },
  }
}

type Fields = Readonly<Record<string, Schema<unknown>>>
type StructOf<F extends Fields> = { -readonly [K in keyof F]: ValueOf<F[K]> }

/** Fields in declaration order. */
export function struct<const F extends Record<string, Schema<never>> | Fields>(
  fields: F,
): Schema<StructOf<F & Fields>> {
  type T = StructOf<F & Fields>
  const entries = Object.entries(fields) as [keyof T & string, Schema<unknown>][]
  return {
    write(writer, value) {
      for (const [name, schema] of entries) schema.write(writer, value[name])
    },
    read(reader) {
      const value: Record<string, unknown> = {}
      for (const [name, schema] of entries) value[name] = schema.read(reader)
      return value as T
    },
    check(value, path) {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(path, 'an object')
      const source = value as Record<string, unknown>
      const checked: Record<string, unknown> = {}
      for (const [name, schema] of entries) {
        const field = Object.hasOwn(source, name) ? source[name] : undefined
        checked[name] = schema.check(field, path === '' ? name : `${path}.${name}`)
      }
      return checked as T
    },
  }
}

/** An enum without content: a text in JSON, its index in bincode. */
export function choice<const V extends string>(variants: readonly V[]): Schema<V> {
  const expected = `one of ${variants.join(', ')}`
  return {
    write: (writer, value) => writer.varint(variants.indexOf(value)),
    read: (reader) => variants[reader.varint(variants.length - 1)]!,
    check(value, path) {
      const found = variants.find((variant) => variant === value)
      if (found === undefined) throw wrong(path, expected)
      return found
    },
  }
}

/** One variant of `tagged`: without content its name, with content an object of one field. */
export type Variant = readonly [name: string, content?: Schema<unknown>]

/** An enum, externally tagged, some variants with content. `T` states the JSON shape. */
export function tagged<T>(variants: readonly Variant[]): Schema<T> {
  const nameOf = (value: unknown): string | undefined => {
    if (typeof value === 'string') return value
    if (typeof value !== 'object' || value === null) return undefined
    const names = Object.keys(value)
    return names.length === 1 ? names[0] : undefined
  }
  return {
    write(writer, value) {
      const name = nameOf(value)
      const index = variants.findIndex(([variant]) => variant === name)
      writer.varint(index)
      const content = variants[index]?.[1]
      if (content) content.write(writer, (value as Record<string, unknown>)[name!])
    },
    read(reader) {
      const [name, content] = variants[reader.varint(variants.length - 1)]!
      return (content ? { [name]: content.read(reader) } : name) as T
    },
    check(value, path) {
      const name = nameOf(value)
      const found = variants.find(([variant]) => variant === name)
      if (found === undefined || (found[1] === undefined) !== (typeof value === 'string')) {
        throw wrong(path, `one of ${variants.map(([variant]) => variant).join(', ')}`)
      }
      const [variant, content] = found
      return (
        content
          ? { [variant]: content.check((value as Record<string, unknown>)[variant], `${path}.${variant}`) }
          : variant
      ) as T
    },
  }
}
