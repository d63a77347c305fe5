/** A child process: opens a gateway's database, and says on standard output how that went. */
import { MixError } from '@mixwright/runtime'
import { GatewayDatabase } from '../src/gateway/store/gateway-database.js'

try {
  GatewayDatabase.open(process.argv[2] ?? '', 'power-loss', 1e9).close()
  process.stdout.write('opened')
} catch (error) {
  process.stdout.write(error instanceof MixError ? error.code : String(error))
}
