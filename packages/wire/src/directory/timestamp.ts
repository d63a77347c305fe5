/** The two text forms of times in directory documents (03-directory §3.4); which field has which is in the documents. */
import { string, text } from './schema.js'

/** "2026-05-16T11:30:00Z", subseconds only when there are any. Strict: official readers fail on anything else. */
export function formatRfc3339(unixMs: number): string {
  return new Date(unixMs).toISOString().replace('.000Z', 'Z')
}

/** "2026-05-16 12:00:00.5 +00:00:00": at least one digit of subseconds, no trailing zeros. */
export function formatHumanTime(unixMs: number): string {
  const [date, time] = new Date(unixMs).toISOString().split('T') as [string, string]
  const [seconds, fraction] = time.slice(0, -1).split('.') as [string, string]
  return `${date} ${seconds}.${fraction.replace(/0+$/, '') || '0'} +00:00:00`
}

const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/
const HUMAN = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)\.(\d{1,9}) ([+-]\d\d)(?::(\d\d))?(?::\d\d)?$/

/** Unix milliseconds of an RFC 3339 text, or undefined. */
export function parseRfc3339(value: string): number | undefined {
  if (!RFC_3339.test(value)) return undefined
  const unixMs = Date.parse(value)
  return Number.isNaN(unixMs) ? undefined : unixMs
}

/** Unix milliseconds of either form. Like official readers, anything else silently becomes 1970. */
export function parseHumanTime(value: string): number {
  const rfc = value.includes('T') ? parseRfc3339(value) : undefined
  if (rfc !== undefined) return rfc
  const match = HUMAN.exec(value)
  if (match === null) return 0
  const [, date, time, fraction, hours, minutes = '00'] = match
  const unixMs = Date.parse(`${date}T${time}.${fraction!.slice(0, 3).padEnd(3, '0')}${hours}:${minutes}`)
  return Number.isNaN(unixMs) ? 0 : unixMs
}

/** Schema of a time that official readers parse leniently. */
export const humanTime = string
/** Schema of a time that must be RFC 3339. */
export const rfc3339Time = text((value) => parseRfc3339(value) !== undefined, 'an RFC 3339 time')
