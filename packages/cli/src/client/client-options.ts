/**
 * Options of a client: its `config.toml`, then the environment (`MIXWRIGHT_CLIENT_…`), then flags; the later wins. What it is
 * told about the mixnet is `mixnet-options.ts`.
 */
import { type Command, Option } from 'commander'
import { z } from 'zod'
import { fromEnvironment, list, mergeOptions, port, readToml } from '../options.js'
import { ClientDirectory } from './client-directory.js'
import {
  directoryOfEnvironment,
  type ForeignFlag,
  MIXNET_SHAPE,
  mixnetConfigText,
  mixnetFlags,
  withMixnetFlags,
} from './mixnet-options.js'

const clientOptions = z.strictObject({
  ...MIXNET_SHAPE,
  host: z.string().min(1).default('127.0.0.1'),
  port: port.default(1977),
  allowOrigin: list.default([]),
  apps: z.enum(['one', 'many']).default('one'),
})

export type ClientOptions = z.infer<typeof clientOptions>

const FOREIGN_FLAGS: readonly ForeignFlag[] = [
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
  return withMixnetFlags(withIdFlags(command), FOREIGN_FLAGS)
    .option('-p, --port <n>', 'port of the websocket for apps, 0: any free one (default: 1977)')
    .option('--host <ip>', 'address of the websocket; there is no password on it (default: 127.0.0.1)')
    .option(
      '--allow-origin <origin>',
      'let this web page use the websocket, such as http://localhost:5173; again for more; * for all',
      collect,
    )
    .option('--apps <n>', 'one app at a time, or many: each message then goes to all (default: one)')
}

export interface GivenFlags {
  readonly directory: ClientDirectory
  readonly json: boolean
  readonly options: Readonly<Record<string, unknown>>
}

/** Take the flags apart: which client, how to print, and what is said about its options. Error: `MIX_OPTIONS`. */
export function givenFlags(flags: Readonly<Record<string, unknown>>): GivenFlags {
  const { id, home, output, json, ...rest } = flags
  const directory = new ClientDirectory(id as string, home as string | undefined)
  return { directory, json: json === true || output === 'json', options: mixnetFlags(rest, FOREIGN_FLAGS) }
}

/** Options of a new client. Error: `MIX_OPTIONS`. */
export function newClientOptions({ options }: GivenFlags): ClientOptions {
  return merged({}, options)
}

/** Options of a client that exists. Errors: `MIX_OPTIONS`, `MIX_CONFIG_FILE`. */
export async function clientOptionsOf({ directory, options }: GivenFlags): Promise<ClientOptions> {
  return merged(await readToml(directory.configFile), options)
}

function merged(file: Readonly<Record<string, unknown>>, given: Readonly<Record<string, unknown>>): ClientOptions {
  const environment = fromEnvironment(clientOptions, process.env, 'MIXWRIGHT_CLIENT_')
  return mergeOptions(clientOptions, { directory: directoryOfEnvironment() }, file, environment, given)
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

/** The options as a file for people to edit. */
export function configText(id: string, options: ClientOptions): string {
  const value = (name: keyof ClientOptions) => `${name} = ${JSON.stringify(options[name])}`
  return `# Client ${id} of mixwright. Flags of \`mixwright client run\`, and variables MIXWRIGHT_CLIENT_…, go before what stands here.

${mixnetConfigText(options)}
# The websocket for apps. There is no password: whoever reaches it sends and reads as this client.
${value('host')}
${value('port')}

# Origins of web pages that may use the websocket, such as "http://localhost:5173"; "*" lets in every page of every site.
${value('allowOrigin')}

# "one" app at a time, or "many": each message then goes to all.
${value('apps')}
`
}
