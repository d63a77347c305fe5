/**
 * Options of a client: its `config.toml`, then the environment (`MIXWRIGHT_CLIENT_…`), then flags; the later wins. Flags of
 * nym-client that mean something here have its names (04-client §4.19); of the others each says why it is refused.
 */
import { PROFILES } from '@mixwright/client/profile'
import { MixError } from '@mixwright/runtime'
import { type Command, Option } from 'commander'
import { z } from 'zod'
import {
  base58Key,
  count,
  DEFAULT_PORT,
  flag,
  fromEnvironment,
  httpUrl,
  list,
  logLevel,
  mergeOptions,
  port,
  profile,
  readToml,
} from '../options.js'
import { ClientDirectory } from './client-directory.js'

/** The directory of `mixwright up`. */
const LOCAL_DIRECTORY = `http://127.0.0.1:${DEFAULT_PORT}/api`

const clientOptions = z.strictObject({
  directory: list.pipe(z.array(httpUrl).min(1)),
  /** Pinned keys; without, the directory is believed. */
  authority: list.pipe(z.array(base58Key)).default([]),
  threshold: count.min(1).max(64).optional(),
  /** `random`, `latency` or an identity; only for a new client. */
  gateway: z.string().min(1).default('random'),
  host: z.string().min(1).default('127.0.0.1'),
  port: port.default(1977),
  profile: profile.default('default'),
  constantLoops: flag.default(false),
  allowOrigin: list.default([]),
  apps: z.enum(['one', 'many']).default('one'),
  log: logLevel.default('warn'),
})

export type ClientOptions = z.infer<typeof clientOptions>

/** Flags of nym-client that have no meaning here, and why; `false` says so where a value can say no. */
const FOREIGN_FLAGS: readonly (readonly [flags: string, why: string])[] = [
  ['--nyxd-urls <urls>', 'no chain is ever asked'],
  ['--custom-mixnet <file>', 'the network is what --directory serves'],
  ['--enabled-credentials-mode <bool>', 'bandwidth is not paid for'],
  ['--minimum-gateway-performance <n>', 'gateways below 50 are never taken'],
  ['--stats-reporting-address <address>', 'nothing is ever reported'],
  ['--forget-me', 'gateways are not asked to forget a client'],
  ['--force-tls-gateway', 'whether a gateway offers TLS decides; what is said to it is encrypted anyway'],
  ['--disable-socket <bool>', 'the websocket is all that run is for; for a client without one see @mixwright/client'],
]

/** Flags of every sub-command of `mixwright client`. */
export function withIdFlags(command: Command): Command {
  return command
    .requiredOption('--id <name>', 'name of the client')
    .option('--home <dir>', 'where clients live (default: MIXWRIGHT_HOME, else ~/.mixwright)')
    .addOption(new Option('-o, --output <format>', 'text or json').choices(['text', 'json']).default('text'))
    .option('--json', 'the same as --output json')
}

/** Flags of a client: those of `init` are remembered, those of `run` are for one time. */
export function withClientFlags(command: Command): Command {
  withIdFlags(command)
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
    .option('-p, --port <n>', 'port of the websocket for apps, 0: any free one (default: 1977)')
    .option('--host <ip>', 'address of the websocket; there is no password on it (default: 127.0.0.1)')
    .option('--profile <name>', 'how privacy is traded for speed, see below (default: default)')
    .option('--fastmode', 'the same as --profile fast')
    .option('--no-cover', 'the same as --profile no-cover')
    .option(
      '--constant-loops',
      'loop cover at a constant rate whatever is sent: twice the traffic, and sending shows in acks only',
    )
    .option(
      '--allow-origin <origin>',
      'let this web page use the websocket, such as http://localhost:5173; again for more; * for all',
      collect,
    )
    .option('--apps <n>', 'one app at a time, or many: each message then goes to all (default: one)')
    .option('--log <level>', 'silent, error, warn, info or debug, to standard error (default: warn)')
  for (const [flags] of FOREIGN_FLAGS) command.addOption(new Option(flags).hideHelp())
  return command
}

/** The part of `--help` about profiles. */
export const PROFILES_HELP = `
Profiles:
${Object.values(PROFILES)
  .map(({ name, effect }) => `  ${name.padEnd(9)} ${effect}`)
  .join('\n')}
`

export interface GivenFlags {
  readonly directory: ClientDirectory
  readonly json: boolean
  readonly options: Readonly<Record<string, unknown>>
}

/** Take the flags apart: which client, how to print, and what is said about its options. Error: `MIX_OPTIONS`. */
export function givenFlags(flags: Readonly<Record<string, unknown>>): GivenFlags {
  const { id, home, output, json, ...rest } = flags
  const directory = new ClientDirectory(id as string, home as string | undefined)
  return { directory, json: json === true || output === 'json', options: ownOptions(rest) }
}

/** Options of a new client. Error: `MIX_OPTIONS`. */
export function newClientOptions({ options }: GivenFlags): ClientOptions {
  return merged({}, options)
}

/** Options of a client that exists. Errors: `MIX_OPTIONS`, `MIX_CONFIG_FILE`. */
export async function clientOptionsOf({ directory, options }: GivenFlags): Promise<ClientOptions> {
  return merged(await readToml(directory.configFile), options)
}

/** A network named by nym-client's variables is taken when nobody else names one, so that `mixwright exec` reaches its own. */
function merged(file: Readonly<Record<string, unknown>>, given: Readonly<Record<string, unknown>>): ClientOptions {
  const { env } = process
  const directory = apisOf(env.NYM_APIS) ?? (env.NYM_API || LOCAL_DIRECTORY)
  return mergeOptions(
    clientOptions,
    { directory },
    file,
    fromEnvironment(clientOptions, env, 'MIXWRIGHT_CLIENT_'),
    given,
  )
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

/** Other names for the same flags become one. */
function ownOptions(flags: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { nymApis, api_validators, latencyBasedSelection, fastmode, cover, ...others } = flags
  const rest: Record<string, unknown> = others
  for (const [foreign, why] of FOREIGN_FLAGS) {
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

/** One value under several names: given twice, it must be the same. */
function oneOf(name: string, ...given: readonly unknown[]): Record<string, unknown> {
  const values = new Set(given.filter((value) => value !== undefined))
  if (values.size > 1) {
    const message = `--${name} is said twice, ${[...values].join(' and ')}: choose one.`
    throw new MixError('MIX_OPTIONS', message, { kind: 'usage' })
  }
  const [value] = values
  return value === undefined ? {} : { [name]: value }
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

/** The options as a file for people to edit. `gateway` is not in it: which one it is stands in the store, and in the address. */
export function configText(id: string, options: ClientOptions): string {
  const value = (name: keyof ClientOptions) => `${name} = ${JSON.stringify(options[name])}`
  return `# Client ${id} of mixwright. Flags of \`mixwright client run\`, and variables MIXWRIGHT_CLIENT_…, go before what stands here.

# Base URLs of a nym-api of the network; when one fails, the next is asked.
${value('directory')}

# Keys of all authorities of the network. With them only what enough of them signed is believed; without, whoever answers at
# a directory URL chooses all hops.
${value('authority')}
${options.threshold === undefined ? '# threshold = 3' : value('threshold')}

# The websocket for apps. There is no password: whoever reaches it sends and reads as this client.
${value('host')}
${value('port')}

# default, fast, no-cover or local. What each costs: mixwright client run --help
${value('profile')}

# Loop cover at a constant rate whatever is sent: twice the traffic, and sending shows in acks only.
${value('constantLoops')}

# Origins of web pages that may use the websocket, such as "http://localhost:5173"; "*" lets in every page of every site.
${value('allowOrigin')}

# "one" app at a time, or "many": each message then goes to all.
${value('apps')}

# silent, error, warn, info or debug
${value('log')}
`
}
