/** What an exit reaches: the options that a requester of its own and one inside a gateway node share. */
import { resolve } from 'node:path'
import { MixError } from '@mixwright/runtime'
import type { ExitPolicyChoice } from '@mixwright/services'
import { z } from 'zod'
import { type OptionsOf, optionTable } from '../option-table.js'
import { flag } from '../options.js'

export const EXIT_OPTIONS = optionTable({
  exitPolicy: {
    schema: z.string().min(1).optional(),
    value: '<file or URL>',
    about:
      "Which destinations the exit allows, in Tor's format; read again every hour. Without it, and without open-proxy, there is no exit.",
    example: '"/etc/mixwright/exit-policy.txt"',
  },
  openProxy: {
    schema: flag.default(false),
    about: 'No exit policy: whoever is on the mixnet reaches every public address, on every port, by this machine.',
  },
  allowLocalIps: {
    schema: flag.default(false),
    about:
      'The exit reaches also this machine and private networks. Whoever is on the mixnet then reaches what only this machine should: for tests.',
  },
})

export type ExitOptions = OptionsOf<typeof EXIT_OPTIONS>

/** Error: `MIX_OPTIONS` when there is none, or two: an exit never opens by accident. */
export function policyOf({ exitPolicy, openProxy }: ExitOptions): ExitPolicyChoice {
  if (openProxy === (exitPolicy !== undefined)) {
    const message = openProxy
      ? '--open-proxy has no exit policy: leave it out, or leave out --exit-policy.'
      : '--exit-policy is missing: name a file or a URL, or say --open-proxy for every public destination.'
    throw new MixError('MIX_OPTIONS', message, { kind: 'usage' })
  }
  if (exitPolicy === undefined) return { kind: 'open' }
  return isUrl(exitPolicy) ? { kind: 'url', url: exitPolicy } : { kind: 'file', path: exitPolicy }
}

/** With the path of the exit policy as it is from everywhere. */
export function fromEverywhere<Options extends ExitOptions>(options: Options): Options {
  const { exitPolicy } = options
  return exitPolicy === undefined || isUrl(exitPolicy) ? options : { ...options, exitPolicy: resolve(exitPolicy) }
}

/** What opens this machine, said at start-up. */
export function warnOfExit({ openProxy, allowLocalIps }: ExitOptions, say: (text: string) => void): void {
  if (openProxy) say('--open-proxy: whoever is on the mixnet reaches every public address by this machine.')
  if (allowLocalIps) say('--allow-local-ips: whoever is on the mixnet reaches this machine and its private networks.')
}

function isUrl(text: string): boolean {
  return /^https?:\/\//i.test(text)
}
