/** The machine as `/system-info` shows it to anybody, when the operator allows (05-mixnode §12). */
import { arch, cpus, release, totalmem, type, version } from 'node:os'

export interface SystemInformation {
  readonly system_name: string
  readonly kernel_version: string
  readonly os_version: string
  readonly cpu_arch: string
  readonly hardware: {
    readonly cpu: readonly { name: string; frequency: number; vendor_id: string; brand: string }[]
    /** Bytes. */
    readonly total_memory: number
    /** Instruction sets are not looked at. */
    readonly crypto: null
  }
}

export function systemInformation(): SystemInformation {
  return {
    system_name: type(),
    kernel_version: release(),
    os_version: version(),
    cpu_arch: arch(),
    hardware: {
      cpu: cpus().map(({ model, speed }, core) => ({
        name: `cpu${core}`,
        frequency: speed,
        vendor_id: '',
        brand: model,
      })),
      total_memory: totalmem(),
      crypto: null,
    },
  }
}
