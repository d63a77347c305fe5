/** `mixwright exec -- COMMAND…`: a network for the time of one command, which finds it in its environment. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { join } from 'node:path'
import { MixError } from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'
import { Command } from 'commander'
import { readOptions, withNetworkFlags } from './options.js'
import { StopSignals } from './stop-signals.js'

/** Exit status when a command is not found or cannot be run, by the shells' convention. */
const NOT_FOUND = 127
const NOT_RUNNABLE = 126
const SIGNAL_BASE = 128

export function execCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('exec')
    .description(
      'Start a network, run a command in the environment that official clients read, end with its exit code.',
    )
    .usage('[options] -- COMMAND [ARGS…]')
    .argument('<command...>', 'the command and its arguments, after --')
    .passThroughOptions()
  return withNetworkFlags(command)
    .addHelpText('after', HELP)
    .action(async (words: string[], flags: Record<string, unknown>) => finish(await exec(words, flags)))
}

async function exec(words: readonly string[], flags: Record<string, unknown>): Promise<number> {
  const options = await readOptions(flags, process.env)
  const { openNetwork } = await import('./open-network.js')
  const { summarize } = await import('./network-summary.js')
  // Installed before the start: a signal goes to the whole group, and the network must outlive the command.
  using signals = new StopSignals()
  const network = await openNetwork(options, 0)
  try {
    const summary = `${JSON.stringify(summarize(network), null, 2)}\n`
    const networkFile = join(network.stateDirectory, 'network-summary.json')
    writeFileAtomically(networkFile, summary, 0o644)
    if (options.out !== undefined) writeFileAtomically(options.out, summary, 0o644)
    const environment = { ...process.env, ...network.environment, MIXWRIGHT_NETWORK_FILE: networkFile }
    return await run(words, environment, signals)
  } finally {
    await network.close()
  }
}

function run(words: readonly string[], environment: NodeJS.ProcessEnv, signals: StopSignals): Promise<number> {
  const [command = '', ...args] = words
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: 'inherit', env: environment })
    // A terminal signals the child itself; `kill` of this process alone does not.
    void signals.first.then(() => child.kill('SIGTERM'))
    child.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT' || cause.code === 'EACCES') {
        process.stderr.write(
          `mixwright: cannot run ${command}: ${cause.code === 'ENOENT' ? 'not found' : 'not executable'}\n`,
        )
        resolve(cause.code === 'ENOENT' ? NOT_FOUND : NOT_RUNNABLE)
      } else reject(new MixError('MIX_EXEC', `Cannot run ${command}: ${cause.message}`, { kind: 'local', cause }))
    })
    child.once('exit', (code, signal) =>
      resolve(signal === null ? (code ?? 0) : SIGNAL_BASE + constants.signals[signal]),
    )
  })
}

const HELP = `
The command sees NYM_API, NYM_APIS, CONFIGURED and all other variables of official Rust clients, each set so that nothing
reaches the real network, and MIXWRIGHT_NETWORK_FILE, a JSON file with the nodes. Ports are free ones unless --port is given.

Example:
  mixwright exec -- cargo test`
