/** `mixwright up`: a whole network until Ctrl-C. */
import { RealClock } from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'
import { Command } from 'commander'
import { readOptions, withNetworkFlags } from './options.js'
import { StopSignals } from './stop-signals.js'

export function upCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('up').description(
    'Start a whole mixnet on this machine, offline: a directory, mix nodes in 3 layers and gateways. Official Nym clients work on it.',
  )
  return withNetworkFlags(command)
    .option('--json', 'print the network as one line of JSON instead of text')
    .option('--quiet', 'print nothing but errors')
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => finish(await up(flags)))
}

async function up(flags: Record<string, unknown>): Promise<number> {
  const clock = new RealClock()
  const options = await readOptions(flags, process.env)
  using signals = new StopSignals()
  const say = (text: string) => {
    if (!options.quiet && !options.json) process.stdout.write(text)
  }
  if (options.seed !== undefined && !options.quiet) {
    process.stderr.write('mixwright: --seed makes every key of this network public knowledge.\n')
  }
  const startedAt = clock.monotonic()
  const { openNetwork } = await import('./open-network.js')
  const opening = openNetwork(options)
  const network = await Promise.race([opening, signals.first])
  if (network === undefined) {
    await (await opening).close()
    return 0
  }
  const { describe, summarize } = await import('./network-summary.js')
  try {
    if (options.out !== undefined)
      writeFileAtomically(options.out, `${JSON.stringify(summarize(network), null, 2)}\n`, 0o644)
    if (options.json) process.stdout.write(`${JSON.stringify(summarize(network))}\n`)
    say(describe(network, clock.monotonic() - startedAt))
    await signals.first
    say('mixwright: stopping\n')
  } finally {
    await network.close()
  }
  return 0
}

const HELP = `
Examples:
  mixwright up                              3 mix nodes, 2 gateways, ports from 17890 on
  mixwright up --port 0 --out net.json      any free ports, described in net.json when ready
  mixwright up --mixes 9 --data ./mynet     9 mix nodes that come back with the same keys and mailboxes
Every option is also read from MIXWRIGHT_… (for example MIXWRIGHT_MIXES) and from --config FILE.
Everything listens on 127.0.0.1 only. Such a network protects nobody.`
