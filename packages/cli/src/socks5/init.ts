/** `mixwright socks5 init`: a new client, registered with a gateway, whose proxy `run` opens. */
import { Command } from 'commander'
import { initialise } from '../client/init.js'
import { PROFILES_HELP } from '../client/mixnet-options.js'
import { configText, givenSocks5Flags, newSocks5Options, withSocks5Flags } from './socks5-options.js'

export function initCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('init').description('Make a new client: its keys, and its registration with a gateway.')
  return withSocks5Flags(command)
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => {
      const given = givenSocks5Flags(flags)
      const options = newSocks5Options(given)
      finish(await initialise(given, options, configText(given.directory.id, options)))
    })
}

const HELP = `${PROFILES_HELP}
Examples:
  mixwright socks5 init --id web                                on the network of \`mixwright up\` on this machine
  mixwright socks5 init --id web --provider ADDRESS --port 1081
The flags are remembered in config.toml in the client's directory.`
