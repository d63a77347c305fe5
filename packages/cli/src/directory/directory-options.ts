/** Options of a directory: its `directory.toml`, then the environment (`MIXWRIGHT_DIRECTORY_…`), then flags; the later wins. */
import { isIP } from 'node:net'
import { z } from 'zod'
import { type OptionsOf, optionTable } from '../option-table.js'
import { base58Key, count, flag, httpUrl, list, logLevel, port } from '../options.js'

const authorityAddress = z.string().refine((text) => {
  const { key, url } = splitAuthority(text)
  return base58Key.safeParse(key).success && httpUrl.safeParse(url).success
}, 'takes KEY@URL, such as 7Xq…@https://directory.example/api')

/** `KEY@URL`; a key has no `@`. */
export function splitAuthority(text: string): { readonly key: string; readonly url: string } {
  const at = text.indexOf('@')
  return { key: text.slice(0, Math.max(0, at)), url: text.slice(at + 1) }
}

export const DIRECTORY_OPTIONS = optionTable({
  host: {
    schema: z
      .string()
      .refine((value) => isIP(value) !== 0, 'takes an IP address')
      .default('::'),
    value: '<ip>',
    about: 'Address to listen on; :: is all, 0.0.0.0 all of IPv4, 127.0.0.1 for a proxy with TLS on this machine.',
  },
  port: { schema: port.default(8000), value: '<n>', about: 'TCP port of the HTTP API, which clients and nodes read.' },
  url: {
    schema: httpUrl.optional(),
    value: '<url>',
    about: 'URL under which others reach that, if it is another than host and port say.',
    example: '"https://directory.example/api"',
  },
  nodes: {
    schema: list.pipe(z.array(httpUrl)).default([]),
    value: '<urls>',
    about:
      'HTTP APIs of nodes to take in, such as http://203.0.113.7:8080, official ones too; each is asked until it answers.',
  },
  registration: {
    schema: z.enum(['allow-list', 'token', 'open']).default('allow-list'),
    value: '<who>',
    about:
      'Who may register by itself: nodes on the allow-list, who shows a token, or anybody (open). Open weakens privacy: one person with many addresses can become all hops.',
  },
  allow: {
    schema: list.pipe(z.array(base58Key)).default([]),
    value: '<keys>',
    about: 'Identities of nodes that may register, base58.',
  },
  tokens: {
    schema: list.pipe(z.array(z.string().min(16))).default([]),
    value: '<texts>',
    about: 'Tokens, each of at least 16 characters.',
  },
  epochMs: {
    schema: count.min(15_000).default(3_600_000),
    value: '<ms>',
    about: 'Length of an epoch, milliseconds; cannot be changed later.',
  },
  validityEpochs: {
    schema: count.min(3).default(24),
    value: '<n>',
    about:
      'Epochs that a Sphinx key lasts; cannot be changed later. Longer weakens privacy: a stolen key opens more packets.',
  },
  genesisMs: {
    schema: count.min(0).optional(),
    value: '<ms>',
    about: 'Start of epoch 0, Unix milliseconds; the same at all authorities. Without it: the moment of init.',
    example: '1767225600000',
  },
  authority: {
    schema: list.pipe(z.array(authorityAddress)).default([]),
    value: '<list>',
    about:
      'All authorities of the network, this one included, each as KEY@URL, the same list at each. Without: this directory alone decides, and nobody can check it.',
  },
  threshold: {
    schema: count.min(1).max(64).optional(),
    value: '<n>',
    about: 'How many of them must sign, the same at each. Without a number: more than two thirds.',
    example: '3',
  },
  probing: {
    schema: flag.default(true),
    about: 'Send packets over all nodes and publish what arrives as their performance.',
  },
  allowLocalAddresses: {
    schema: flag.default(false),
    about: 'Take nodes that announce loopback or private addresses; for networks on one machine.',
  },
  metricsToken: {
    schema: z.string().min(16).optional(),
    value: '<text>',
    about:
      'Show the counters at /api/v1/mixwright/metrics for this bearer token, at least 16 characters. Without it there is no such route.',
    example: '"…"',
  },
  crypto: {
    schema: z.enum(['sodium-native', 'libsodium-wasm', 'noble']).optional(),
    value: '<name>',
    about: 'sodium-native, libsodium-wasm or noble. Without a name: the fastest that loads.',
    example: '"sodium-native"',
  },
  log: {
    schema: logLevel.default('info'),
    value: '<level>',
    about: 'silent, error, warn, info or debug, as JSON lines on standard error.',
  },
})

export type DirectoryOptions = OptionsOf<typeof DIRECTORY_OPTIONS>

/** The epochs that are wished for; without a genesis, those of the directory, or from now on. */
export function scheduleOf({ epochMs, validityEpochs, genesisMs }: DirectoryOptions) {
  return { durationMs: epochMs, validityEpochs, ...(genesisMs !== undefined && { genesisMs }) }
}
