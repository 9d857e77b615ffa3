// swift-tools-version: 6.2
import PackageDescription

/// The law of the house for Swift targets: Swift 6 mode, nothing imported by accident, no warnings.
let strict: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"), .treatAllWarnings(as: .error),
]

/// Kernels are optimized in debug builds too: tests run millions of them. NaN and infinity keep their meaning;
/// only the loops that say so may reassociate their sums.
let kernelFlags: [CSetting] = [
  .unsafeFlags([
    "-O3", "-fno-math-errno", "-ffp-contract=fast", "-fno-signed-zeros", "-fno-trapping-math", "-Wall",
    "-Wextra",
    "-Werror", "-Wno-pass-failed",
  ])
]

func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], excluding: [String] = []) -> Target {
  .testTarget(name: name, dependencies: dependencies, exclude: excluding, swiftSettings: strict)
}

let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
  name: "hadal",
  products: [.executable(name: "hadal", targets: ["hadal"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // Layer 0: C, and modules that import nothing of ours.
    .target(name: "CKernels", cSettings: kernelFlags),
    library("Numerics", []),
    library("Pipeline", []),
    library("Data", []),
    .systemLibrary(name: "CMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev", "pkg-config"])]),
    // Messages between ranks; knows no arrays.
    library("Communication", ["CMPI"]),
    // Layer 1: arrays, then what differentiates them.
    library("Tensors", ["Numerics", "CKernels"]),
    library("Autograd", ["Tensors"]),
    // Layer 2: the recipe.
    library("Model", ["Autograd", "Tensors", "Numerics"]),
    library("Optimization", ["Tensors"]),
    library("Checkpoint", ["Tensors", crypto]),
    // Layer 3: programs are made of these.
    library("Parallel", ["Model", "Communication", "Pipeline", "Optimization", "Autograd", "Tensors"]),
    library(
      "Training",
      [
        "Parallel", "Pipeline", "Model", "Optimization", "Checkpoint", "Data", "Communication", "Autograd",
        "Tensors", "Numerics", yams,
      ]),
    library("Generation", ["Model", "Checkpoint", "Data", "Autograd", "Tensors", "Numerics"]),
    .executableTarget(
      name: "hadal",
      dependencies: [
        "Training", "Generation", "Parallel", "Model", "Optimization", "Checkpoint", "Data", "Communication",
        "Autograd", "Tensors", "Numerics", "Pipeline", arguments,
      ], swiftSettings: strict),
    .executableTarget(
      name: "overlap-bench", dependencies: ["Communication"], path: "benchmarks/Overlap",
      swiftSettings: strict),
    // Tests mirror the targets; what several of them read of the oracles is a target of its own.
    .target(
      name: "OracleSupport", dependencies: ["Checkpoint", "Tensors"], path: "Tests/OracleSupport",
      swiftSettings: strict),
    // What holds between ranks, for the unit tests and for a program under mpirun.
    .target(
      name: "CommunicationChecks", dependencies: ["Communication"], path: "Tests/CommunicationChecks",
      swiftSettings: strict),
    .executableTarget(
      name: "mpi-checks", dependencies: ["Communication", "CommunicationChecks"], path: "Tests/MPI",
      exclude: ["run.sh", "layouts.sh", "exchange.sh", "lost_node.sh", "layouts.yaml"],
      swiftSettings: strict),
    tests("NumericsTests", ["Numerics", "Checkpoint", "OracleSupport"]),
    tests("CommandLineTests", ["hadal", "Checkpoint", "Model", "Tensors"]),
    tests("PipelineTests", ["Pipeline", "OracleSupport"]),
    tests("DataTests", ["Data"], excluding: ["Golden"]),
    tests("CommunicationTests", ["Communication", "CommunicationChecks"]),
    tests("TensorsTests", ["Tensors", "Numerics", "CKernels", "Checkpoint", "OracleSupport"]),
    tests("AutogradTests", ["Autograd", "Tensors", "Numerics", "OracleSupport"]),
    tests("ModelTests", ["Model", "Autograd", "Tensors", "Checkpoint", "OracleSupport"]),
    tests("ParallelTests", ["Parallel", "Model", "Communication", "Optimization", "Autograd", "Tensors"]),
    tests("OptimizationTests", ["Optimization", "Tensors"]),
    tests("CheckpointTests", ["Checkpoint", "Tensors"], excluding: ["Golden"]),
    tests(
      "TrainingTests",
      [
        "Training", "Parallel", "Pipeline", "Model", "Optimization", "Checkpoint", "Data", "Communication",
        "Autograd", "Tensors", "Numerics", "OracleSupport",
      ]),
    tests(
      "GenerationTests",
      [
        "Generation", "Model", "Checkpoint", "Data", "Autograd", "Tensors", "Numerics", "OracleSupport",
      ]),
  ]
)
