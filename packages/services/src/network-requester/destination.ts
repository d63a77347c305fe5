/**
 * From `host:port` to a TCP connection (06-service-providers §2.5, §4): the name is resolved once, here at the exit; every address
 * that it has must be globally routable and allowed by the policy; and one of exactly these is connected to, so that a name which
 * changes its mind in between (DNS rebinding) gains nothing.
 */
import { lookup, Resolver } from 'node:dns/promises'
import { connect, isIP, isIPv6, type Socket, SocketAddress } from 'node:net'
import type { Clock } from '@mixwright/runtime'
import { type ExitPolicy, evaluateExitPolicy, isGloballyRoutable, splitRemote } from '@mixwright/wire'
import type { ConnectOutcome } from './requester-metrics.js'

/** For resolving and connecting together. */
export const CONNECT_TIMEOUT_MS = 15_000
/** So long an address is waited for before the next is tried beside it. */
const HEAD_START_MS = 300
/** For one DNS server, which is asked twice; the second time it has twice as long. */
const DNS_TIMEOUT_MS = 3000
const SILENT: ReadonlySet<unknown> = new Set(['ETIMEOUT', 'ESERVFAIL'])
/** Of the addresses of a name, so many are tried. All are checked. */
const MOST_ATTEMPTS = 6
/** Longest `host:port`, characters: names have at most 253. */
const LONGEST_REMOTE = 261

/** All addresses of a name, as texts; an error or none: the host is unknown. */
export type Resolve = (host: string) => Promise<readonly string[]>
/** Open a TCP connection that can be closed in one direction; emits `connect`, or `error`. */
export type Dial = (ip: string, port: number) => Socket

export interface DestinationRules {
  readonly clock: Clock
  readonly policy: () => ExitPolicy
  readonly allowLocalIps: boolean
  readonly resolve: Resolve
  readonly dial: Dial
}

export type Opening =
  | { readonly socket: Socket }
  /** The text of the ConnectionError. */
  | { readonly refusal: string; readonly outcome: ConnectOutcome }

/**
 * By DNS, and what DNS does not know (or is not asked: names without a dot) by the operating system, whose hosts file counts there. It
 * has few threads for that, which are for everybody: names whose servers are silent do not get so far.
 */
export const systemResolve: Resolve = async (host) => {
  const dns = new Resolver({ timeout: DNS_TIMEOUT_MS, tries: 2 })
  const answers = host.includes('.') ? await Promise.allSettled([dns.resolve4(host), dns.resolve6(host)]) : []
  const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
  if (addresses.length > 0) return addresses
  const failure = answers.find((answer) => answer.status === 'rejected' && SILENT.has(answer.reason?.code))
  if (failure?.status === 'rejected') throw failure.reason
  const found = await lookup(host, { all: true, verbatim: true })
  return found.map(({ address }) => address)
}

export const systemDial: Dial = (host, port) => connect({ host, port, allowHalfOpen: true, noDelay: true })

/** Connect to `remote`. Never rejects; aborted, it is refused as `given-up`. */
export async function openDestination(remote: string, rules: DestinationRules, signal: AbortSignal): Promise<Opening> {
  const target = remote.length <= LONGEST_REMOTE ? splitRemote(remote) : undefined
  if (target === undefined)
    return { refusal: 'connect failed: the destination is no host:port', outcome: 'not-a-destination' }
  const ending = new AbortController()
  const timer = rules.clock.setTimer(CONNECT_TIMEOUT_MS, () => ending.abort('timed-out'))
  const abort = () => ending.abort('given-up')
  signal.addEventListener('abort', abort)
  if (signal.aborted) abort()
  try {
    const addresses = await orEnded(resolved(target.host, rules), ending.signal)
    if (addresses.length === 0) return refused('unknown-host', remote)
    if (!addresses.every((ip) => isAllowed(ip, target.port, rules))) return refused('refused-by-policy', remote)
    return { socket: await firstOf(inOrder(addresses), target.port, rules, ending.signal) }
  } catch (error) {
    if (ending.signal.aborted) return refused(ending.signal.reason as ConnectOutcome, remote)
    return refused(outcomeOf(error), remote)
  } finally {
    timer.cancel()
    signal.removeEventListener('abort', abort)
  }
}

const PREFIXES: Partial<Record<ConnectOutcome, string>> = {
  'unknown-host': 'unknown host: ',
  'connection-refused': 'connection refused: ',
  'host-unreachable': 'host unreachable: ',
  'network-unreachable': 'network unreachable: ',
  'timed-out': 'timed out: ',
}

const OUTCOMES: Readonly<Record<string, ConnectOutcome>> = {
  ECONNREFUSED: 'connection-refused',
  EHOSTUNREACH: 'host-unreachable',
  ENETUNREACH: 'network-unreachable',
  ETIMEDOUT: 'timed-out',
  UNKNOWN_HOST: 'unknown-host',
}

/** The text for a policy's refusal is the official one, with the destination quoted as Rust does. */
function refused(outcome: ConnectOutcome, remote: string): Opening {
  if (outcome === 'refused-by-policy') return { refusal: `Domain ${rustQuoted(remote)} failed filter check`, outcome }
  return { refusal: `${PREFIXES[outcome] ?? 'connect failed: '}${remote}`, outcome }
}

function outcomeOf(error: unknown): ConnectOutcome {
  return OUTCOMES[String((error as NodeJS.ErrnoException | undefined)?.code)] ?? 'failed'
}

const RUST_ESCAPES: Readonly<Record<string, string>> = { '\t': '\\t', '\n': '\\n', '\r': '\\r', '\0': '\\0' }

function rustQuoted(text: string): string {
  const escaped = text.replace(/["\\]|\p{Cc}/gu, (character) => {
    if (character === '"' || character === '\\') return `\\${character}`
    return RUST_ESCAPES[character] ?? `\\u{${character.codePointAt(0)!.toString(16)}}`
  })
  return `"${escaped}"`
}

/** Addresses in one spelling; those of IPv4 that are written as IPv6 are what they stand for. */
async function resolved(host: string, { resolve }: DestinationRules): Promise<string[]> {
  if (isIP(host) !== 0) return [canonical(host)]
  const addresses = await resolve(host).catch(() => {
    throw Object.assign(new Error('unknown host'), { code: 'UNKNOWN_HOST' })
  })
  return [...new Set(addresses.filter((address) => isIP(address) !== 0).map(canonical))]
}

function canonical(ip: string): string {
  if (!isIPv6(ip)) return ip
  const { address } = new SocketAddress({ address: ip, family: 'ipv6' })
  return /^::ffff:([0-9.]+)$/.exec(address)?.[1] ?? address
}

function isAllowed(ip: string, port: number, { policy, allowLocalIps }: DestinationRules): boolean {
  return (allowLocalIps || isGloballyRoutable(ip)) && evaluateExitPolicy(policy(), ip, port) === 'accept'
}

/** The families take turns, beginning with that of the first. */
function inOrder(addresses: readonly string[]): string[] {
  const isSix = isIPv6(addresses[0]!)
  const first = addresses.filter((ip) => isIPv6(ip) === isSix)
  const second = addresses.filter((ip) => isIPv6(ip) !== isSix)
  return first
    .flatMap((ip, index) => [ip, ...second.slice(index, index + 1)])
    .concat(second.slice(first.length))
    .slice(0, MOST_ATTEMPTS)
}

/** The first address that answers. Each next is tried when the one before has failed, or after a head start. */
function firstOf(
  addresses: readonly string[],
  port: number,
  { clock, dial }: DestinationRules,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const trying = new Set<Socket>()
    let next = 0
    let headStart = clock.setTimer(0, () => {})
    const finish = () => {
      headStart.cancel()
      signal.removeEventListener('abort', abort)
      for (const socket of trying) socket.destroy()
    }
    const abort = () => {
      finish()
      reject(signal.reason)
    }
    const attempt = () => {
      headStart.cancel()
      const socket = dial(addresses[next++]!, port)
      trying.add(socket)
      const fail = (error: unknown) => {
        trying.delete(socket)
        if (next < addresses.length) return attempt()
        if (trying.size > 0) return
        finish()
        reject(error)
      }
      // Stays: an error of a socket that lost the race is nobody's.
      socket.on('error', (error) => trying.has(socket) && fail(error))
      socket.once('connect', () => {
        if (!trying.delete(socket)) return
        finish()
        resolve(socket)
      })
      if (next < addresses.length) headStart = clock.setTimer(HEAD_START_MS, attempt)
    }
    signal.addEventListener('abort', abort)
    if (signal.aborted) abort()
    else attempt()
  })
}

/** What it resolves to, unless the signal comes first. */
function orEnded<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort)
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
    if (signal.aborted) abort()
  })
}
