/**
 * What every client of the command line is told about the mixnet: which network, who is believed, which gateway, and how privacy is
 * traded for speed. Flags of official clients that mean something here have their names (04-client §4.19); of the others each says
 * why it is refused.
 */
import { PROFILES } from '@mixwright/client/profile'
import { MixError } from '@mixwright/runtime'
import { type Command, Option } from 'commander'
import { z } from 'zod'
import { base58Key, count, DEFAULT_PORT, flag, httpUrl, kebab, list, logLevel, profile } from '../options.js'

/** The directory of `mixwright up`. */
const LOCAL_DIRECTORY = `http://127.0.0.1:${DEFAULT_PORT}/api`

/** Part of the options of a client. */
export const MIXNET_SHAPE = {
  directory: list.pipe(z.array(httpUrl).min(1)),
  /** Pinned keys; without, the directory is believed. */
  authority: list.pipe(z.array(base58Key)).default([]),
  threshold: count.min(1).max(64).optional(),
  /** `random`, `latency` or an identity; only for a new client. */
  gateway: z.string().min(1).default('random'),
  profile: profile.default('default'),
  constantLoops: flag.default(false),
  log: logLevel.default('warn'),
}

const mixnetOptions = z.strictObject(MIXNET_SHAPE)
export type MixnetOptions = z.infer<typeof mixnetOptions>

export type ForeignFlag = readonly [flags: string, why: string]

/** Flags of official clients that have no meaning here, and why; `false` says so where a value can say no. */
const FOREIGN_FLAGS: readonly ForeignFlag[] = [
  ['--nyxd-urls <urls>', 'no chain is ever asked'],
  ['--custom-mixnet <file>', 'the network is what --directory serves'],
  ['--enabled-credentials-mode <bool>', 'bandwidth is not paid for'],
  ['--minimum-gateway-performance <n>', 'gateways below 50 are never taken'],
  ['--stats-reporting-address <address>', 'nothing is ever reported'],
  ['--forget-me', 'gateways are not asked to forget a client'],
  ['--force-tls-gateway', 'whether a gateway offers TLS decides; what is said to it is encrypted anyway'],
]

/** The flags of `MIXNET_SHAPE`, and those that mean nothing here, `foreignFlags` among them. */
export function withMixnetFlags(command: Command, foreignFlags: readonly ForeignFlag[] = []): Command {
  command
    .option(
      '--directory <urls>',
      `nym-api of the network, several with commas (default: NYM_APIS, NYM_API, else ${LOCAL_DIRECTORY})`,
    )
    .option('--nym-apis <urls>', 'the same as --directory')
    .option(
      '--authority <keys>',
      'keys of all authorities of the network, base58, with commas: only what they signed is believed (default: none)',
    )
    .option('--threshold <n>', 'how many of them must have signed (default: more than two thirds)')
    .addOption(new Option('--api_validators <urls>').hideHelp())
    .option(
      '--gateway <which>',
      'random, latency (a near one) or an identity; a client keeps its gateway (default: random)',
    )
    .option('--latency-based-selection', 'the same as --gateway latency')
    .option('--profile <name>', 'how privacy is traded for speed, see below (default: default)')
    .option('--fastmode', 'the same as --profile fast')
    .option('--no-cover', 'the same as --profile no-cover')
    .option(
      '--constant-loops',
      'loop cover at a constant rate whatever is sent: twice the traffic, and sending shows in acks only',
    )
    .option('--log <level>', 'silent, error, warn, info or debug, to standard error (default: warn)')
  for (const [flags] of [...FOREIGN_FLAGS, ...foreignFlags]) command.addOption(new Option(flags).hideHelp())
  return command
}

/** The part of `--help` about profiles. */
export const PROFILES_HELP = `
Profiles:
${Object.values(PROFILES)
  .map(({ name, effect }) => `  ${name.padEnd(9)} ${effect}`)
  .join('\n')}
`

/** A network named by nym-client's variables is taken when nobody else names one, so that `mixwright exec` reaches its own. */
export function directoryOfEnvironment(): unknown {
  const { env } = process
  return apisOf(env.NYM_APIS) ?? (env.NYM_API || LOCAL_DIRECTORY)
}

/** `[{"url":…}]`, as official clients read it, or URLs with commas. */
function apisOf(text: string | undefined): unknown {
  if (!text) return undefined
  if (!text.startsWith('[')) return text
  try {
    return (JSON.parse(text) as { url?: unknown }[]).map((api) => api?.url)
  } catch (cause) {
    throw new MixError('MIX_OPTIONS', 'The variable NYM_APIS is no JSON.', { kind: 'usage', cause })
  }
}

/** Other names for the same flags become one, and flags without a meaning here are refused with why. Error: `MIX_OPTIONS`. */
export function mixnetFlags(
  flags: Readonly<Record<string, unknown>>,
  foreignFlags: readonly ForeignFlag[] = [],
): Record<string, unknown> {
  const { nymApis, api_validators, latencyBasedSelection, fastmode, cover, ...others } = flags
  const rest: Record<string, unknown> = others
  for (const [foreign, why] of [...FOREIGN_FLAGS, ...foreignFlags]) {
    const option = new Option(foreign)
    const value = rest[option.attributeName()]
    delete rest[option.attributeName()]
    if (value !== undefined && value !== 'false')
      throw new MixError('MIX_OPTIONS', `${option.long} is not for us: ${why}. Leave it out.`, { kind: 'usage' })
  }
  return {
    ...rest,
    ...oneOf('directory', rest.directory, nymApis, api_validators),
    ...oneOf('gateway', rest.gateway, latencyBasedSelection ? 'latency' : undefined),
    ...oneOf('profile', rest.profile, fastmode ? 'fast' : undefined, cover === false ? 'no-cover' : undefined),
  }
}

/** One value under several names: given twice, it must be the same. Error: `MIX_OPTIONS`. */
export function oneOf(name: string, ...given: readonly unknown[]): Record<string, unknown> {
  const values = new Set(given.filter((value) => value !== undefined))
  if (values.size > 1) {
    const message = `--${kebab(name)} is said twice, ${[...values].join(' and ')}: choose one.`
    throw new MixError('MIX_OPTIONS', message, { kind: 'usage' })
  }
  const [value] = values
  return value === undefined ? {} : { [name]: value }
}

/** What weakens privacy, and what has no effect on a client that is registered with a gateway already. */
export function mixnetWarnings({ profile, gateway }: MixnetOptions, registered: string): string[] {
  const warnings: string[] = []
  if (profile !== 'default') warnings.push(`--profile ${profile}: ${PROFILES[profile].effect}`)
  if (gateway !== 'random' && gateway !== 'latency' && gateway !== registered)
    warnings.push(`--gateway is for new clients: this one stays with ${registered}, which is a part of its address.`)
  return warnings
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}

/** The part of a configuration file. `gateway` is not in it: which one it is stands in the store, and in the address. */
export function mixnetConfigText(options: MixnetOptions): string {
  const value = (name: keyof MixnetOptions) => `${name} = ${JSON.stringify(options[name])}`
  return `# Base URLs of a nym-api of the network; when one fails, the next is asked.
${value('directory')}

# Keys of all authorities of the network. With them only what enough of them signed is believed; without, whoever answers at
# a directory URL chooses all hops.
${value('authority')}
${options.threshold === undefined ? '# threshold = 3' : value('threshold')}

# default, fast, no-cover or local. What each costs is in the --help of run.
${value('profile')}

# Loop cover at a constant rate whatever is sent: twice the traffic, and sending shows in acks only.
${value('constantLoops')}

# silent, error, warn, info or debug
${value('log')}
`
}
