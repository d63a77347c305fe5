/**
 * Which destinations an exit reaches (06-service-providers §4): rules in Tor's manner, as text file, JSON and bincode, and
 * their evaluation. That destinations have to be globally routable besides is in `globally-routable.ts`.
 */
import { MixError } from '@mixwright/runtime'
import { nodeAddress } from '@mixwright/sphinx'
import { malformed } from '../bincode.js'
import { choice, fromJson, list, type Schema, string, struct, u16, type ValueOf, wrong } from '../directory/schema.js'
import { covers, octetsOf, prefixOf } from './ip-prefix.js'

/** The `6` of an action restricts nothing; only the pattern does. */
const ACTIONS = ['accept', 'reject', 'accept6', 'reject6'] as const
const KEYWORD = 'ExitPolicy'
const ALL_PORTS = { start: 1, end: 0xffff }

const PATTERN = '`*`, `*4`, `*6`, or an IP address or prefix'

/** Canonical text of an address pattern: `*`, `*4`, `*6` or `prefix/mask`. Any spelling is read. */
const ipPattern: Schema<string> = {
  write: string.write,
  read(reader) {
    const found = pattern(reader.string())
    if (found === undefined) throw malformed(`a text is not ${PATTERN}`)
    return found
  },
  check(value, path) {
    const found = typeof value === 'string' ? pattern(value) : undefined
    if (found === undefined) throw wrong(path, PATTERN)
    return found
  },
}

/** The value is the official JSON; in bincode it is big endian. */
export const exitPolicySchema = struct({
  rules: list(
    struct({
      action: choice(ACTIONS),
      pattern: struct({ ip_pattern: ipPattern, ports: struct({ start: u16, end: u16 }) }),
    }),
  ),
})
export type ExitPolicy = ValueOf<typeof exitPolicySchema>
export type ExitPolicyRule = ExitPolicy['rules'][number]

/**
 * Read a policy file. One bad line fails the whole: `MIX_EXIT_POLICY`, kind `usage`, with the number of the line from 1 in
 * `data.line` and the reason in `data.reason`.
 */
export function parseExitPolicy(text: string): ExitPolicy {
  const rules: ExitPolicyRule[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const entry = line.split('#', 1)[0]!.trim()
    if (entry === '') continue
    const rule = entry.startsWith(KEYWORD)
      ? parseRule(entry.slice(KEYWORD.length).trim())
      : `a line starts with ${KEYWORD}`
    if (typeof rule === 'string') {
      const message = `Line ${index + 1} of the exit policy is wrong: ${rule}.`
      throw new MixError('MIX_EXIT_POLICY', message, { kind: 'usage', data: { line: index + 1, reason: rule } })
    }
    rules.push(rule)
  }
  return { rules }
}

/** Canonical text, a line each rule. */
export function formatExitPolicy(policy: ExitPolicy): string {
  return policy.rules.map((rule) => `${KEYWORD} ${formatRule(rule)}`).join('\n')
}

/** The official JSON text. */
export function exitPolicyJson(policy: ExitPolicy): string {
  return JSON.stringify(policy)
}

/** Check a parsed JSON value. Error: `MIX_DOCUMENT`, kind `peer`, naming the field. */
export function exitPolicyFromJson(value: unknown): ExitPolicy {
  return fromJson(exitPolicySchema, value)
}

/**
 * The first rule that matches decides; `no-match` is to be treated as a refusal. Port 0 (packets without ports) matches
 * every rule by address alone. `ip` is the text of an IP address, anything else matches nothing.
 */
export function evaluateExitPolicy(policy: ExitPolicy, ip: string, port: number): 'accept' | 'reject' | 'no-match' {
  const octets = octetsOf(ip)
  if (octets === undefined) return 'no-match'
  const rule = policy.rules.find(
    ({ pattern: { ip_pattern, ports } }) =>
      (port === 0 || (ports.start <= port && port <= ports.end)) && matches(ip_pattern, octets),
  )
  if (rule === undefined) return 'no-match'
  return rule.action === 'accept' || rule.action === 'accept6' ? 'accept' : 'reject'
}

/** The rule, or what is wrong with it. */
function parseRule(text: string): ExitPolicyRule | string {
  const space = text.indexOf(' ')
  const action = ACTIONS.find((name) => name === text.slice(0, Math.max(space, 0)))
  if (action === undefined) return `a rule starts with one of ${ACTIONS.join(', ')}`
  const target = text.slice(space + 1)
  const colon = target.lastIndexOf(':')
  if (colon < 0) return 'behind the action comes address:port'
  const address = pattern(target.slice(0, colon))
  if (address === undefined) return `an address is ${PATTERN}`
  const ports = parsePorts(target.slice(colon + 1))
  if (ports === undefined) return 'ports are `*`, a number up to 65535, or a range of them from 1 on'
  return { action, pattern: { ip_pattern: address, ports } }
}

function parsePorts(text: string): { start: number; end: number } | undefined {
  if (text === '*') return { ...ALL_PORTS }
  const found = /^([0-9]+)(?:-([0-9]+))?$/.exec(text)
  if (found === null) return undefined
  const start = Number(found[1])
  const end = Number(found[2] ?? found[1])
  const isRange = found[2] !== undefined
  return end > 0xffff || start > end || (isRange && start === 0) ? undefined : { start, end }
}

function formatRule({ action, pattern: { ip_pattern, ports } }: ExitPolicyRule): string {
  const { start, end } = ports
  const isAll = start === ALL_PORTS.start && end === ALL_PORTS.end
  return `${action} ${ip_pattern}:${isAll ? '*' : start === end ? start : `${start}-${end}`}`
}

/** An address pattern in canonical text; undefined when it is none. */
function pattern(text: string): string | undefined {
  if (text === '*' || text === '*4' || text === '*6') return text
  // Brackets are for IPv6 alone.
  const found = /^(?:\[([^\]]*:[^\]]*)\]|([^[\]/]+))(?:\/([0-9]+))?$/.exec(text)
  const address = found ? nodeAddress((found[1] ?? found[2])!, 0) : undefined
  if (!found || !address) return undefined
  const longest = address.family === 4 ? 32 : 128
  const mask = found[3] === undefined ? longest : Number(found[3])
  if (mask > longest) return undefined
  return mask === 0 ? `*${address.family}` : `${address.host}/${mask}`
}

/** Whether a canonical pattern covers an address of 4 or 16 octets. */
function matches(canonical: string, octets: Uint8Array): boolean {
  if (canonical === '*') return true
  if (canonical === '*4' || canonical === '*6') return octets.length === (canonical === '*4' ? 4 : 16)
  return covers(prefixOf(canonical), octets)
}
