/**
 * Options of a network requester: its `requester.toml`, then the environment (`MIXWRIGHT_REQUESTER_…`), then flags; the
 * later wins.
 */
import { isIP } from 'node:net'
import type { Command } from 'commander'
import { z } from 'zod'
import { directoryOfEnvironment, oneOf } from '../client/mixnet-options.js'
import { type OptionsOf, optionTable } from '../option-table.js'
import { base58Key, count, httpUrl, list, logLevel, port, profile } from '../options.js'
import { type GivenFlags, givenFlags, withServerFlags } from '../server-options.js'
import { EXIT_OPTIONS } from './exit-options.js'

const limit = count.min(1).max(1_000_000)

export const REQUESTER_OPTIONS = optionTable({
  directory: {
    schema: list.pipe(z.array(httpUrl).min(1)),
    value: '<urls>',
    about:
      'nym-api of the network, several with commas; when one fails, the next is asked. Without: NYM_APIS, NYM_API, else the one of mixwright up.',
  },
  authority: {
    schema: list.pipe(z.array(base58Key)).default([]),
    value: '<keys>',
    about:
      'Keys of all authorities of the network, base58, with commas: only what enough of them signed is believed. Without, whoever answers at a directory URL chooses all hops.',
  },
  threshold: {
    schema: count.min(1).max(64).optional(),
    value: '<n>',
    about: 'How many of the authorities must have signed. Without a number: more than two thirds.',
    example: '3',
  },
  gateway: {
    schema: z.string().min(1).default('random'),
    value: '<which>',
    about:
      'random, latency (a near one) or an identity; for a new requester: it keeps its gateway, a part of its address.',
  },
  profile: {
    schema: profile.default('no-cover'),
    value: '<name>',
    about:
      'default, fast, no-cover or local: how answers are sent. no-cover, as official requesters do: at once and without cover, so that downloads are fast; who watches the link to the gateway sees when, and how much, this exit sends. Its clients keep the cover of their own profile.',
  },
  ...EXIT_OPTIONS,
  host: {
    schema: z
      .string()
      .refine((value) => isIP(value) !== 0, 'takes an IP address')
      .default('127.0.0.1'),
    value: '<ip>',
    about: 'Address of the HTTP server for health and metrics; there is no password on it.',
  },
  healthPort: {
    schema: port.optional(),
    value: '<n>',
    about: 'TCP port of GET /health and GET /metrics, 0: any free one. Without a number there is no such server.',
    example: '9300',
  },
  connectionsPerClient: {
    schema: limit.default(256),
    value: '<n>',
    about: 'Connections of one client at once; further ones are refused.',
  },
  connections: { schema: limit.default(8192), value: '<n>', about: 'Connections at once; further ones are refused.' },
  connecting: {
    schema: limit.default(1024),
    value: '<n>',
    about: 'Connections at once that are not established yet; further ones are refused.',
  },
  description: {
    schema: z.string().min(1).max(1000).optional(),
    value: '<text>',
    about: 'What clients that ask are told. Everybody can read it.',
    example: '"…"',
  },
  log: {
    schema: logLevel.default('warn'),
    value: '<level>',
    about: 'silent, error, warn, info or debug, as JSON lines on standard error; never a destination.',
  },
})

export type RequesterOptions = OptionsOf<typeof REQUESTER_OPTIONS>

export function withRequesterFlags(command: Command): Command {
  return withServerFlags(command, 'requester', REQUESTER_OPTIONS).option('--nym-apis <urls>', 'the same as --directory')
}

/** Error: `MIX_OPTIONS`. */
export function givenRequesterFlags({
  nymApis,
  ...flags
}: Readonly<Record<string, unknown>>): GivenFlags<typeof REQUESTER_OPTIONS> {
  const given = { ...flags, ...oneOf('directory', flags.directory, nymApis) }
  return givenFlags('requester', REQUESTER_OPTIONS, given, { directory: directoryOfEnvironment() })
}
