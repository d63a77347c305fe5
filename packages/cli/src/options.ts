/**
 * Options, from three places: a TOML file, then the environment (`MIXWRIGHT_…`), then flags; the later wins. One schema
 * checks them all, so that each means the same wherever it is written. Here too: the options of a network.
 */
import { readFileSync } from 'node:fs'
import { MixError } from '@mixwright/runtime'
import type { Command } from 'commander'
import { z } from 'zod'

/** First port when none is given: 1789, the mix port, with a zero. */
export const DEFAULT_PORT = 17890

/** Of the SOCKS5 door when `--socks5` names none: that of nym-socks5-client. */
const DEFAULT_SOCKS_PORT = 1080

export const count = z.coerce.number().int()
/** A switch; in the environment a text. */
export const flag = z.union([
  z.boolean(),
  z.enum(['true', 'false', '1', '0']).transform((text) => text === 'true' || text === '1'),
])
/** Several texts: an array in a file, in the environment and in flags with commas. */
export const list = z.union([
  z.array(z.string()),
  z.string().transform((text) =>
    text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  ),
])
export const httpUrl = z
  .string()
  .refine((text) => URL.canParse(text) && /^https?:/i.test(text), 'takes http or https URLs')
/** A length of time with its unit, as milliseconds: `500ms`, `60s`, `10m`, `1h`, `2d`. */
export const duration = z
  .string()
  .regex(/^\d{1,9}(ms|s|m|h|d)$/, 'a time such as 500ms, 60s, 10m, 1h or 2d is expected')
  .transform((text) => {
    const unit = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[text.replace(/\d+/, '')]!
    return Number.parseInt(text, 10) * unit
  })
/** A key of 32 bytes, as far as it can be seen without loading the decoder. */
export const base58Key = z.string().regex(/^[1-9A-HJ-NP-Za-km-z]{32,44}$/, 'takes base58 keys of 32 bytes')
export const port = count.min(0).max(65_535)
export const logLevel = z.enum(['silent', 'error', 'warn', 'info', 'debug'])
export const profile = z.enum(['default', 'fast', 'no-cover', 'local'])

const networkOptions = z.strictObject({
  authorities: count.min(1).max(9).optional(),
  threshold: count.min(1).max(9).optional(),
  mixes: count.min(3).max(200).optional(),
  gateways: count.min(1).max(200).optional(),
  port: port.optional(),
  seed: z.string().min(1).optional(),
  data: z.string().min(1).optional(),
  out: z.string().min(1).optional(),
  clients: list.optional(),
  clientProfile: profile.optional(),
  services: flag.default(true),
  // Not a switch: 0 and 1 are ports here.
  socks5: z
    .union([
      z.literal([true, 'true']).transform(() => DEFAULT_SOCKS_PORT),
      z.literal([false, 'false']).transform(() => undefined),
      port,
    ])
    .optional(),
  epoch: duration.optional(),
  validity: count.min(3).max(100_000).optional(),
  node: list.optional(),
  crypto: z.enum(['sodium-native', 'libsodium-wasm', 'noble']).optional(),
  log: logLevel.default('warn'),
  json: flag.default(false),
  quiet: flag.default(false),
})

export type UpOptions = z.infer<typeof networkOptions>

/** Add the flags of a network to a sub-command. */
export function withNetworkFlags(command: Command): Command {
  return command
    .option('--authorities <n>', 'directories that agree by votes and sign what they show (default: 1, which decides)')
    .option('--threshold <n>', 'of several authorities: how many must sign (default: more than two thirds)')
    .option('--mixes <n>', 'mix nodes, dealt into 3 layers (default: 3)')
    .option('--gateways <n>', 'gateways (default: 2)')
    .option(
      '--port <n>',
      `directory's port; nodes take the following ones; 0: any free port for everything (default: ${DEFAULT_PORT})`,
    )
    .option('--seed <text>', 'draw every key from this text, to repeat a run; such keys protect nobody')
    .option(
      '--data <dir>',
      'keep keys, ports and mailboxes here, and resume them (default: temporary, removed at the end)',
    )
    .option('--clients <names>', 'start clients of these names, each behind a local websocket: alice,bob')
    .option(
      '--client-profile <name>',
      'how they send: default (as on the real network), fast, no-cover or local (default: local)',
    )
    .option('--no-services', 'neither an exit (network requester) nor an echo service (default: both)')
    .option(
      '--socks5 [port]',
      `a SOCKS5 proxy to the exit for apps on this machine; 0: any free port (default: none; without a number ${DEFAULT_SOCKS_PORT})`,
    )
    .option('--epoch <time>', 'length of an epoch, at least 15s (default: 1h; with several authorities 1m)')
    .option('--validity <epochs>', 'epochs that a Sphinx key lasts before the nodes rotate it (default: 24)')
    .option(
      '--node <url>',
      'a node that runs elsewhere joins, an official nym-node too: the address of its HTTP API; repeat for more',
      (url: string, urls: string[] = []) => [...urls, url],
    )
    .option('--out <file>', 'write the network as JSON here, once it is ready')
    .option('--crypto <name>', 'sodium-native, libsodium-wasm or noble (default: the fastest that loads)')
    .option('--log <level>', 'silent, error, warn, info or debug, to standard error (default: warn)')
    .option('--config <file>', 'TOML file with the same options; MIXWRIGHT_… variables and flags go before it')
}

/** The options of a network. Error: `MIX_OPTIONS`, naming the option and what it takes. */
export async function readOptions(
  flags: Readonly<Record<string, unknown>>,
  environment: NodeJS.ProcessEnv,
): Promise<UpOptions> {
  const { config = environment.MIXWRIGHT_CONFIG, ...given } = flags
  const file = typeof config === 'string' ? await readToml(config) : {}
  return mergeOptions(networkOptions, file, fromEnvironment(networkOptions, environment, 'MIXWRIGHT_'), given)
}

/** Merge, the later first, and check. Error: `MIX_OPTIONS`, naming each wrong option and what it takes. */
export function mergeOptions<Schema extends z.ZodObject>(
  schema: Schema,
  ...sources: readonly Readonly<Record<string, unknown>>[]
): z.infer<Schema> {
  const parsed = schema.safeParse(Object.assign({}, ...sources))
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(
    ({ path, message }) => `${path.length > 0 ? `--${kebab(String(path[0]))}: ` : ''}${message}`,
  )
  throw new MixError('MIX_OPTIONS', problems.join('; '), { kind: 'usage' })
}

/** What the environment says about the options of a schema: `clientProfile` is `MIXWRIGHT_CLIENT_PROFILE`. */
export function fromEnvironment(
  schema: z.ZodObject,
  environment: NodeJS.ProcessEnv,
  prefix: string,
): Record<string, string> {
  const found: Record<string, string> = {}
  for (const name of Object.keys(schema.shape)) {
    const value = environment[`${prefix}${kebab(name).replaceAll('-', '_').toUpperCase()}`]
    if (value !== undefined && value !== '') found[name] = value
  }
  return found
}

/** `clientProfile` → `client-profile`. */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** The tables of a TOML file. Error: `MIX_CONFIG_FILE`. */
export async function readToml(path: string): Promise<Record<string, unknown>> {
  const { parse } = await import('smol-toml')
  try {
    return parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    const message = `The configuration file ${path} cannot be read: ${(cause as Error).message}`
    throw new MixError('MIX_CONFIG_FILE', message, { kind: 'usage', data: { path }, cause })
  }
}
