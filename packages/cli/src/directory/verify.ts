/**
 * `mixwright directory verify URL…`: whether directories tell the truth (03-directory §18). Enough of the pinned authorities signed
 * what each shows, it follows what came before, all show the same, and the lists that official clients read are those of the
 * signed document.
 */
import { MixError, RealClock } from '@mixwright/runtime'
import { Command } from 'commander'
import { z } from 'zod'
import { base58Key, count, httpUrl, list, mergeOptions } from '../options.js'
import { withProgress } from '../progress.js'
import type { DirectoryFindings } from './verify-lists.js'

const FAILED = 1

const verifyOptions = z.strictObject({
  directory: z.array(httpUrl).min(1),
  authority: list.pipe(z.array(base58Key).min(1)),
  threshold: count.min(1).max(64).optional(),
})

export function verifyCommand(finish: (exitCode: number) => void): Command {
  return new Command('verify')
    .description('Check what directories serve against the keys of their authorities.')
    .argument('<urls...>', 'base URLs of directories, such as https://directory.example/api')
    .option('--authority <keys>', 'keys of all authorities, base58; with commas, or again for more', collect)
    .option('--threshold <n>', 'how many of them must have signed (default: more than two thirds)')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action(async (urls: string[], flags: Record<string, unknown>) => finish(await verify(urls, flags)))
}

async function verify(urls: readonly string[], flags: Readonly<Record<string, unknown>>): Promise<number> {
  const { json, ...given } = flags
  if (given.authority === undefined) {
    const message = '--authority: which keys are to be believed must be said; ask the operators, not the directory.'
    throw new MixError('MIX_OPTIONS', message, { kind: 'usage' })
  }
  const { directory, authority, threshold } = mergeOptions(verifyOptions, { directory: urls, ...given })
  const { verifyLists } = await import('./verify-lists.js')
  const clock = new RealClock()
  const findings = await withProgress(
    clock,
    'Asking the directories…',
    verifyLists(directory, authority, threshold, clock),
  )
  const hashes = new Set(findings.flatMap(({ sha256 }) => sha256 ?? []))
  const verified = findings.every(({ problems }) => problems.length === 0) && hashes.size === 1
  if (json === true) process.stdout.write(`${JSON.stringify({ verified, directories: findings })}\n`)
  else {
    const agreement = hashes.size > 1 ? 'They show different documents.\n' : ''
    process.stdout.write(
      `${findings.map(describe).join('')}${agreement}${verified ? 'Verified.\n' : 'NOT verified.\n'}`,
    )
  }
  return verified ? 0 : FAILED
}

function describe({ url, epochId, sha256, signers, nodes, chain, problems }: DirectoryFindings): string {
  const facts =
    sha256 === undefined
      ? ''
      : `  epoch ${epochId}, ${nodes} nodes, document ${sha256}, which follows ${chain} before it\n` +
        `  signed by ${signers?.join(', ')}\n`
  return `${url}\n${facts}${problems.map((problem) => `  PROBLEM: ${problem}\n`).join('')}`
}

function collect(value: string, before?: readonly string[]): readonly string[] {
  return [...(before ?? []), ...value.split(',').map((key) => key.trim())]
}

const HELP = `
Examples:
  mixwright directory verify https://a.example/api https://b.example/api --authority 7Xq…,9Yr…,5Zs…
The exit code is 0 only if all is well.`
