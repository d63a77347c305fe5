/** `mixwright client show`: what there is to know of a client, without starting it; also while it runs. */
import { Command } from 'commander'
import { clientOptionsOf, givenFlags, withIdFlags } from './client-options.js'

export function showCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('show').description(
    'Print address, gateway, port and files of a client, without starting it.',
  )
  return withIdFlags(command)
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => finish(await show(flags)))
}

async function show(flags: Readonly<Record<string, unknown>>): Promise<number> {
  const given = givenFlags(flags)
  const { directory, json } = given
  const { address, gateway, gatewayUrls, registeredAt } = directory.facts()
  const { host, port, profile, directory: nymApis } = await clientOptionsOf(given)
  const summary = {
    id: directory.id,
    address,
    gateway,
    gatewayUrls,
    registeredAt,
    host,
    port,
    profile,
    directory: nymApis,
    configFile: directory.configFile,
    storeFile: directory.storeFile,
  }
  const text = `ID: ${directory.id}
Address of this client: ${address}
Gateway ID: ${gateway}
Gateway: ${gatewayUrls[0] ?? ''}
Registered at: ${registeredAt}
Client listening port: ${port}
Configuration: ${directory.configFile}
Store: ${directory.storeFile}
`
  process.stdout.write(json ? `${JSON.stringify(summary)}\n` : text)
  return 0
}

const HELP = `
Example:
  mixwright client show --id alice --json`
