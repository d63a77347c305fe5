/**
 * The JSON objects of the local websocket (04-client §4.18.2): members by name, 64-bit integers exact (`JSON.parse` rounds
 * them), and faults worded and placed as official peers do, since apps get to read them.
 * What is inside arrays and inner objects is checked and dropped: no message has any.
 */

/** An array or object where a plain value belongs. */
export const SEQUENCE = Symbol('sequence')
export const MAP = Symbol('map')

/** Integers of 64 bits, signed or not, are `bigint`; every other number is a `number`. */
export type JsonValue = string | bigint | number | boolean | null | typeof SEQUENCE | typeof MAP

/** What is wrong with a text. Never leaves this folder. */
export class JsonFault extends Error {}

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y
const SPACE = /[ \t\r\n]*/y
const WORDS = new Map<string, [string, boolean | null]>([
  ['t', ['true', true]],
  ['f', ['false', false]],
  ['n', ['null', null]],
])
const DEEPEST = 128
/** No 64-bit integer is longer, sign included. */
const LONGEST_INTEGER = 20

/** One object, read. */
export class JsonObject {
  readonly #text: string
  /** Value, and where in the text it ended. */
  readonly #members = new Map<string, { readonly value: JsonValue; readonly end: number }>()
  #at = 0

  /** Throws a `JsonFault` when the text is no JSON; anything but an object has no members. */
  constructor(text: string) {
    this.#text = text
    this.#space()
    if (text[this.#at] === '{') this.#object(0, (name, value) => this.#add(name, value))
    else this.#value(0)
    const end = this.#at
    this.#space()
    if (this.#at < text.length) this.#fail('trailing characters')
    this.#at = end
  }

  /** Undefined: there is none. */
  get(name: string): JsonValue | undefined {
    return this.#members.get(name)?.value
  }

  /** Where the value of a member, or else the whole object, ends, in words. */
  place(name: string): string {
    return this.#place(this.#members.get(name)?.end ?? this.#at)
  }

  /** A member that has to be a string. */
  string(name: string): string {
    const value = this.#required(name)
    if (typeof value !== 'string') throw new JsonFault(`invalid type: ${describe(value)}, expected a string`)
    return value
  }

  /** A member that has to be an unsigned integer of so many bits. */
  unsigned(name: string, bits: 32 | 64): bigint {
    const value = this.#required(name)
    if (typeof value !== 'bigint') throw new JsonFault(`invalid type: ${describe(value)}, expected u${bits}`)
    if (value !== BigInt.asUintN(bits, value))
      throw new JsonFault(`invalid value: ${describe(value)}, expected u${bits}`)
    return value
  }

  #required(name: string): JsonValue {
    const value = this.get(name)
    if (value === undefined) throw new JsonFault(`missing field \`${name}\``)
    return value
  }

  #add(name: string, value: JsonValue): void {
    if (this.#members.has(name)) throw new JsonFault(`duplicate field \`${name}\`${this.#place(this.#at)}`)
    this.#members.set(name, { value, end: this.#at })
  }

  #value(depth: number): JsonValue {
    const first = this.#text[this.#at]
    if (first === undefined) this.#fail('EOF while parsing a value')
    if (first === '"') return this.#string()
    if (first === '{') return this.#object(depth, () => {})
    if (first === '[') return this.#array(depth)
    const word = WORDS.get(first)
    return word === undefined ? this.#number() : this.#word(...word)
  }

  #object(depth: number, add: (name: string, value: JsonValue) => void): typeof MAP {
    this.#enter(depth)
    if (this.#take('}')) return MAP
    do {
      this.#space()
      if (this.#text[this.#at] !== '"') this.#fail('key must be a string')
      const name = this.#string()
      if (!this.#take(':')) this.#fail('expected `:`')
      this.#space()
      add(name, this.#value(depth + 1))
    } while (this.#take(','))
    if (!this.#take('}')) this.#fail('expected `,` or `}`')
    return MAP
  }

  #array(depth: number): typeof SEQUENCE {
    this.#enter(depth)
    if (this.#take(']')) return SEQUENCE
    do {
      this.#space()
      this.#value(depth + 1)
    } while (this.#take(','))
    if (!this.#take(']')) this.#fail('expected `,` or `]`')
    return SEQUENCE
  }

  #enter(depth: number): void {
    if (depth === DEEPEST) this.#fail('recursion limit exceeded')
    this.#at++
  }

  /** Find the closing quote (one behind an even number of backslashes) and let the platform read what is between. */
  #string(): string {
    const start = this.#at
    let end = start
    let backslashes: number
    do {
      end = this.#text.indexOf('"', end + 1)
      if (end < 0) {
        this.#at = this.#text.length
        this.#fail('EOF while parsing a string')
      }
      backslashes = 0
      while (this.#text[end - 1 - backslashes] === '\\') backslashes++
    } while (backslashes % 2 === 1)
    this.#at = end + 1
    try {
      return JSON.parse(this.#text.slice(start, this.#at))
    } catch {
      throw new JsonFault(`invalid escape or control character in a string${this.#place(this.#at)}`)
    }
  }

  #word(text: string, value: boolean | null): boolean | null {
    for (const letter of text) {
      if (this.#text[this.#at] !== letter) this.#fail('expected ident')
      this.#at++
    }
    return value
  }

  #number(): bigint | number {
    NUMBER.lastIndex = this.#at
    const found = NUMBER.exec(this.#text)
    if (found === null) this.#fail('expected value')
    const [token, fraction, exponent] = found
    this.#at += token.length
    if (fraction !== undefined || exponent !== undefined || token.length > LONGEST_INTEGER) return Number(token)
    const integer = BigInt(token)
    const fits = integer === BigInt.asUintN(64, integer) || integer === BigInt.asIntN(64, integer)
    return fits ? integer : Number(token)
  }

  #take(sign: string): boolean {
    this.#space()
    const there = this.#text[this.#at] === sign
    if (there) this.#at++
    return there
  }

  #space(): void {
    SPACE.lastIndex = this.#at
    SPACE.exec(this.#text)
    this.#at = SPACE.lastIndex
  }

  /** The character here is the wrong one. */
  #fail(what: string): never {
    throw new JsonFault(`${what}${this.#place(Math.min(this.#at + 1, this.#text.length))}`)
  }

  /** Line and column, in UTF-16 units, of the last of `length` characters. */
  #place(length: number): string {
    let line = 1
    let start = 0
    for (;;) {
      const next = this.#text.indexOf('\n', start) + 1
      if (next === 0 || next > length) return ` at line ${line} column ${length - start}`
      line++
      start = next
    }
  }
}

function describe(value: JsonValue): string {
  switch (typeof value) {
    case 'string':
      return `string ${JSON.stringify(value)}`
    case 'bigint':
      return `integer \`${value}\``
    case 'number':
      return `floating point \`${value}\``
    case 'boolean':
      return `boolean \`${value}\``
    case 'symbol':
      return value.description!
    default:
      return 'null'
  }
}
