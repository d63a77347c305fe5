/**
 * Options of a SOCKS5 client: its `config.toml`, then the environment (`MIXWRIGHT_SOCKS5_…`), then flags; the later wins. Flags of
 * nym-socks5-client that mean something here have its names.
 */
import type { Command } from 'commander'
import { z } from 'zod'
import { ClientDirectory } from '../client/client-directory.js'
import { type GivenFlags, withIdFlags } from '../client/client-options.js'
import {
  directoryOfEnvironment,
  MIXNET_SHAPE,
  mixnetConfigText,
  mixnetFlags,
  withMixnetFlags,
} from '../client/mixnet-options.js'
import { count, flag, fromEnvironment, list, mergeOptions, port, readToml } from '../options.js'

const requesterAddress = z
  .string()
  .regex(/^[1-9A-HJ-NP-Za-km-z]+\.[1-9A-HJ-NP-Za-km-z]+@[1-9A-HJ-NP-Za-km-z]+$/, 'takes addresses of requesters')

const socks5Options = z.strictObject({
  ...MIXNET_SHAPE,
  provider: list.pipe(z.array(requesterAddress)).default([]),
  useReplySurbs: flag.default(true),
  host: z.string().min(1).default('127.0.0.1'),
  port: port.default(1080),
  httpPort: port.optional(),
  isolation: count.min(1).max(256).default(8),
  eager: flag.default(false),
})

export type Socks5Options = z.infer<typeof socks5Options>

/** Flags of a SOCKS5 client: those of `init` are remembered, those of `run` are for one time. */
export function withSocks5Flags(command: Command): Command {
  return withMixnetFlags(withIdFlags(command))
    .option(
      '--provider <addresses>',
      'network requesters, with commas: the next is taken when one fails (default: those that the directory lists)',
    )
    .option(
      '--use-reply-surbs [bool]',
      'answers by reply blocks, so that the requester never learns our address; false is faster and tells it (default: true)',
    )
    .option('-p, --port <n>', 'port of SOCKS5, SOCKS4 and SOCKS4a, 0: any free one (default: 1080)')
    .option('--host <ip>', 'address of the proxies; there is no password on them (default: 127.0.0.1)')
    .option('--http-port <n>', 'an HTTP proxy beside it, at this port, 0: any free one (default: none)')
    .option(
      '--isolation <n>',
      'each name and password that apps give gets a client of its own, at most so many at once (default: 8)',
    )
    .option('--eager', 'tell apps of success before the exit has connected: faster, without the reasons of failures')
}

/** Take the flags apart. Error: `MIX_OPTIONS`. */
export function givenSocks5Flags(flags: Readonly<Record<string, unknown>>): GivenFlags {
  const { id, home, output, json, ...rest } = flags
  const directory = new ClientDirectory(id as string, home as string | undefined, 'socks5')
  return { directory, json: json === true || output === 'json', options: mixnetFlags(rest) }
}

/** Options of a new client. Error: `MIX_OPTIONS`. */
export function newSocks5Options({ options }: GivenFlags): Socks5Options {
  return merged({}, options)
}

/** Options of a client that exists. Errors: `MIX_OPTIONS`, `MIX_CONFIG_FILE`. */
export async function socks5OptionsOf({ directory, options }: GivenFlags): Promise<Socks5Options> {
  return merged(await readToml(directory.configFile), options)
}

function merged(file: Readonly<Record<string, unknown>>, given: Readonly<Record<string, unknown>>): Socks5Options {
  const environment = fromEnvironment(socks5Options, process.env, 'MIXWRIGHT_SOCKS5_')
  return mergeOptions(socks5Options, { directory: directoryOfEnvironment() }, file, environment, given)
}

/** The options as a file for people to edit. */
export function configText(id: string, options: Socks5Options): string {
  const value = (name: keyof Socks5Options) => `${name} = ${JSON.stringify(options[name])}`
  return `# SOCKS5 client ${id} of mixwright. Flags of \`mixwright socks5 run\`, and variables MIXWRIGHT_SOCKS5_…, go before what stands here.

${mixnetConfigText(options)}
# Addresses of network requesters; the next is taken when one fails. Without: those that the directory lists.
${value('provider')}

# Answers by reply blocks, so that the requester never learns our address. false is faster, and tells it.
${value('useReplySurbs')}

# The proxies. There is no password: whoever reaches them connects as this client.
${value('host')}
${value('port')}
${options.httpPort === undefined ? '# httpPort = 8118' : value('httpPort')}

# Each name and password that apps give gets a client of its own, at most so many at once.
${value('isolation')}

# Tell apps of success before the exit has connected: faster, without the reasons of failures.
${value('eager')}
`
}
