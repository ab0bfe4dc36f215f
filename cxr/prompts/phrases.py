"""The words of the prompts: what each pattern is called, in two phrasings that share no sentence.

`STANDARD` writes the prompts that the embedded model is trained on and that `--findings` asks for. `REPHRASED` says the
same in other sentences; it is kept out of training, so that following it shows that the text was understood.
Slots: {sev} degree, {side} left/right/bilateral, {where} a place in the lungs, {view}, {person}, {core}.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrasebook:
    openings: tuple[str, ...]  # a whole prompt around {core}
    tails: tuple[str, ...]  # a closing sentence, or nothing
    cores: dict[str, tuple[str, ...]]  # pattern -> noun phrases that name it


SEVERITY_WORDS = {
    "mild": ("mild", "slight", "minor"),
    "moderate": ("moderate", "moderately severe", "intermediate"),
    "severe": ("severe", "marked", "extensive"),
}
VIEW_WORDS = {
    "PA": ("PA", "posteroanterior", "upright PA"),
    "AP": ("AP", "anteroposterior", "portable AP", "supine AP"),
    "lateral": ("lateral", "left lateral", "side"),
}
SEX_WORDS = {"F": ("woman", "female patient"), "M": ("man", "male patient")}
CHILD_WORDS = {"F": ("girl",), "M": ("boy",)}
AGE_GROUPS = (
    (13, "child"),
    (40, "young"),
    (65, "middle-aged"),
    (200, "elderly"),
)  # first bound above the age, in years

STANDARD = Phrasebook(
    openings=(
        "{view} chest X-ray of {person} showing {core}",
        "{view} chest radiograph of {person}: {core}",
        "Chest X-ray, {view} view, {person}, {core}",
        "Chest radiograph with {core}, {view} view, {person}",
        "{core} on a {view} chest X-ray of {person}",
        "A {view} chest film of {person}. Findings: {core}",
        "Radiograph of the chest, {view}. {core}. Patient: {person}",
        "Findings: {core}. {view} view of {person}",
    ),
    tails=(
        "",
        "",
        "",
        "No other abnormality.",
        "The remaining structures are unremarkable.",
        "Otherwise unremarkable examination.",
        "Comparison with the previous study is recommended.",
        "Clinical correlation is advised.",
        "No acute bony abnormality.",
        "The trachea is midline.",
    ),
    cores={
        "clear": (
            "normal chest",
            "no acute cardiopulmonary abnormality",
            "clear lungs and a heart of normal size",
            "the cardiomediastinal silhouette is within normal limits and the lungs are clear",
            "lungs are clear without consolidation, effusion or pneumothorax",
            "normal anatomy, no focal opacity, no pleural effusion",
            "a healthy chest with sharp costophrenic angles",
            "no evidence of active disease",
            "unremarkable heart, lungs and pleura",
        ),
        "cardiomegaly": (
            "{sev} cardiomegaly",
            "{sev} enlargement of the heart",
            "an enlarged heart, {sev}",
            "{sev} enlarged cardiac silhouette",
            "increased cardiothoracic ratio, {sev} cardiomegaly",
            "the heart is enlarged to a {sev} degree",
        ),
        "globular_heart": (
            "{sev} globular heart from pericardial effusion",
            "{sev} pericardial effusion with a water bottle heart",
            "a globular, water bottle shaped cardiac silhouette, {sev}",
            "the heart is globular, {sev} pericardial effusion",
            "{sev} pericardial fluid around a round heart",
        ),
        "ground_glass": (
            "{sev} ground-glass opacity {where}",
            "{sev} hazy opacities {where}",
            "{sev} diffuse haze {where}",
            "hazy ground-glass opacification {where}, {sev}",
            "{sev} increased lung opacity {where}, ground-glass",
        ),
        "edema": (
            "{sev} pulmonary edema",
            "{sev} perihilar opacities in a batwing pattern",
            "{sev} interstitial edema with perihilar haze",
            "batwing perihilar edema, {sev}",
            "{sev} pulmonary vascular congestion with edema of both lungs",
        ),
        "atelectasis": (
            "{sev} {side} basal atelectasis",
            "{sev} linear atelectasis at the {side} base",
            "{sev} plate-like band of atelectasis in the {side} lower zone",
            "{side} lower zone volume loss with {sev} atelectasis",
            "band-like opacity at the {side} base, {sev} atelectasis",
        ),
        "lobar_consolidation": (
            "{sev} lobar consolidation {where}",
            "{sev} lobar pneumonia {where}",
            "dense consolidation with air bronchograms {where}, {sev}",
            "{sev} airspace consolidation {where}, pneumonia",
            "{sev} pneumonic consolidation {where}",
        ),
        "bronchopneumonia": (
            "{sev} {side} bronchopneumonia",
            "{sev} patchy multifocal infiltrates, {side} bronchopneumonia",
            "{sev} patchy {side} pneumonia",
            "multifocal patchy consolidation, {side}, {sev}",
            "{sev} {side} blotchy infiltrates of infection",
        ),
        "cavity": (
            "a cavity in the {side} upper zone from tuberculosis",
            "cavitary tuberculosis of the {side} upper lobe",
            "thick-walled cavity, {side} upper lobe infection",
            "{side} apical cavitary lesion of tuberculosis",
            "cavitation in the {side} upper lobe",
        ),
        "miliary": (
            "{sev} miliary tuberculosis",
            "{sev} miliary pattern of tiny nodules in both lungs",
            "innumerable tiny miliary nodules, {sev} disseminated infection",
            "{sev} diffuse miliary dots",
            "miliary infection, {sev}, millet-seed nodules throughout",
        ),
        "effusion": (
            "{sev} {side} pleural effusion",
            "{sev} {side} effusion with blunting of the costophrenic angle",
            "{side} pleural fluid with a meniscus, {sev}",
            "{sev} collection of pleural fluid, {side}",
            "blunted {side} costophrenic angle, {sev} pleural effusion",
        ),
        "pneumothorax": (
            "{sev} {side} pneumothorax",
            "{sev} pneumothorax with a visible pleural line, {side}",
            "collapsed {side} lung from {sev} pneumothorax",
            "{side} apical pneumothorax, {sev}",
            "{sev} air in the {side} pleural space",
        ),
        "pleural_thickening": (
            "{sev} {side} pleural thickening",
            "{sev} thickened pleura, {side}",
            "{side} pleural plaques and {sev} thickening",
            "{sev} {side} pleural scarring along the chest wall",
            "thickening of the {side} lateral pleura, {sev}",
        ),
        "nodule": (
            "a solitary nodule {where}",
            "solitary pulmonary nodule {where}",
            "a small round nodule {where}",
            "well-defined lung nodule {where}",
            "single rounded nodular lesion {where}",
        ),
        "mass": (
            "a large mass {where}",
            "a lung mass {where}",
            "large rounded mass {where} suspicious for carcinoma",
            "bulky pulmonary mass {where}",
            "mass lesion {where}, likely a tumor",
        ),
        "metastases": (
            "{sev} pulmonary metastases",
            "multiple round nodules of metastases, {sev}",
            "{sev} cannonball metastases in both lungs",
            "numerous rounded metastatic nodules, {sev}",
            "multiple lung metastases, {sev}",
        ),
        "pacemaker": (
            "a {side} chest pacemaker with leads",
            "{side} cardiac pacemaker and its wires",
            "pacemaker generator over the {side} chest",
            "implanted {side} pacemaker device",
            "{side} subclavian pacemaker with pacing leads",
        ),
        "central_line": (
            "a {side} central venous catheter",
            "{side} central line with its tip in the superior vena cava",
            "{side} subclavian central venous line in place",
            "central venous catheter from the {side}",
            "{side} jugular central line",
        ),
        "endotracheal_tube": (
            "an endotracheal tube in place",
            "endotracheal tube with its tip above the carina",
            "an intubated patient, endotracheal tube",
            "intubation with an endotracheal tube in the trachea",
            "endotracheal tube, mechanical ventilation",
        ),
        "chest_drain": (
            "a {side} chest drain",
            "{side} chest tube in place",
            "{side} intercostal drain in the pleural space",
            "a chest tube entering from the {side}",
            "{side} thoracostomy tube",
        ),
        "sternal_wires": (
            "median sternotomy wires",
            "sternal wires after cardiac surgery",
            "intact sternotomy wires in the midline",
            "sternal wire sutures of previous bypass surgery",
            "postoperative chest with sternotomy wires",
        ),
        "ecg_leads": (
            "overlying ECG leads",
            "ECG electrodes and monitoring wires over the chest",
            "external cardiac monitoring leads",
            "telemetry leads and electrodes on the chest",
            "ECG monitoring wires projected over the lungs",
        ),
        "motion_blur": (
            "{sev} motion blur",
            "{sev} motion artifact with blurred outlines",
            "image blurred by patient movement, {sev}",
            "{sev} breathing motion artifact",
            "blurred radiograph, {sev} movement artifact",
        ),
        "grid_lines": (
            "{sev} grid line artifact",
            "{sev} grid lines across the image",
            "{sev} anti-scatter grid artifact with stripes",
            "striped grid artifact, {sev}",
            "parallel grid lines, {sev} artifact",
        ),
        "quantum_mottle": (
            "{sev} quantum mottle from underexposure",
            "{sev} image noise, underexposed",
            "grainy noisy image, {sev} quantum mottle",
            "{sev} noise artifact from a low dose",
            "underexposed noisy radiograph, {sev} mottle",
        ),
        "necklace": (
            "a necklace artifact over the neck",
            "jewellery artifact from a necklace",
            "a metallic necklace left on",
            "beads of a necklace projected over the chest",
            "necklace jewellery obscuring the upper chest",
        ),
        "lateral_view": (
            "lateral projection",
            "the chest seen from the side, lateral positioning",
            "lateral view with retrosternal space",
            "lateral positioning of the patient",
            "true lateral projection, spine behind the heart",
        ),
        "rotated": (
            "{sev} rotation of the patient to the {side}",
            "patient rotated to the {side}, {sev}",
            "{sev} rotated positioning, turned to the {side}",
            "malpositioned and rotated to the {side}, {sev}",
            "{sev} patient rotation, {side}",
        ),
        "lordotic": (
            "lordotic projection",
            "apical lordotic positioning",
            "lordotic positioning with clavicles above the apices",
            "an apical lordotic projection of the lungs",
            "lordotic angulation of the beam",
        ),
        "tilted": (
            "{sev} tilt of the image to the {side}",
            "patient tilted to the {side}, {sev}",
            "{sev} oblique tilted positioning, leaning to the {side}",
            "image tilted to the {side}, {sev} malposition",
            "leaning patient, {sev} tilt to the {side}",
        ),
        "inverted": (
            "inverted grayscale",
            "grayscale inversion, black bones",
            "an inverted image with dark bones and white lungs",
            "negative image, inverted contrast",
            "inverted display from another system",
        ),
        "screen_photo": (
            "photographed from a computer screen",
            "smartphone photo of a monitor with glare",
            "a photo of the screen with moire pattern",
            "mobile phone picture of a screen display, glare",
            "screen photograph, moire and perspective",
        ),
        "washed_out": (
            "{sev} washed-out low contrast of an old scanner",
            "low contrast gray image from another scanner, {sev}",
            "{sev} flat, washed-out image from a different machine",
            "faded low contrast radiograph, {sev}",
            "{sev} loss of contrast, washed out",
        ),
        "film_digitiser": (
            "digitised film with scratches and a border",
            "scanned analog film with a label",
            "old film scan with scratches and film border",
            "digitised hard copy film from another hospital",
            "film digitiser scan, scratched, with a frame",
        ),
    },
)

REPHRASED = Phrasebook(
    openings=(
        "We see {core} in {person}; projection is {view}",
        "{person}, imaged {view}. The study reveals {core}",
        "An image of the thorax ({view}) in which there is {core}, taken of {person}",
        "Impression: {core}. This is a {view} image, {person}",
    ),
    tails=("", "", "Follow up as needed.", "Nothing else to report."),
    cores={
        "clear": (
            "a chest within normal limits, lungs clear",
            "no abnormality, the heart and lungs look normal",
            "no acute disease and clear lungs",
        ),
        "cardiomegaly": ("a heart with {sev} enlargement", "cardiomegaly which is {sev}", "{sev} enlarged heart size"),
        "globular_heart": (
            "a water bottle heart, that is a {sev} pericardial effusion",
            "pericardial effusion, {sev}, heart shape globular",
        ),
        "ground_glass": (
            "haze of ground-glass type {where}, degree {sev}",
            "a hazy area {where}, {sev} ground-glass change",
        ),
        "edema": ("edema of the lungs, {sev}, batwing in shape", "{sev} congestion with perihilar edema"),
        "atelectasis": (
            "atelectasis, {sev}, {side} base",
            "a {sev} band of atelectasis seen at the lung base on the {side}",
        ),
        "lobar_consolidation": (
            "pneumonia with {sev} consolidation {where}",
            "consolidation of a lobe {where} with air bronchograms, {sev} pneumonia",
        ),
        "bronchopneumonia": (
            "{side} pneumonia in a patchy multifocal pattern, {sev}",
            "bronchopneumonia, {sev}, {side}, with patchy infiltrates",
        ),
        "cavity": (
            "tuberculosis with a cavity at the {side} apex",
            "an infection of the {side} upper lobe with a thick-walled cavity",
        ),
        "miliary": (
            "miliary spread of infection, {sev}, tiny nodules in both lungs",
            "tuberculosis of miliary type, {sev}",
        ),
        "effusion": (
            "fluid in the {side} pleural space, {sev} effusion",
            "an effusion, {sev}, {side} costophrenic angle blunted",
        ),
        "pneumothorax": (
            "a pneumothorax on the {side}, {sev}",
            "{side} lung collapsed by a {sev} pneumothorax, pleural line seen",
        ),
        "pleural_thickening": (
            "pleura thickened on the {side}, {sev}",
            "thickening of pleura with plaques, {side}, {sev}",
        ),
        "nodule": ("one round nodule {where}", "a nodule, solitary, {where}"),
        "mass": ("a bulky tumor mass {where}", "a mass, large and rounded, {where}"),
        "metastases": (
            "metastases, {sev}, as multiple nodules in both lungs",
            "cannonball nodules of metastases, {sev} in number",
        ),
        "pacemaker": ("a device on the {side}, a cardiac pacemaker", "leads of a pacemaker implanted on the {side}"),
        "central_line": (
            "a catheter, central venous, on the {side}",
            "a central venous line placed from the {side} subclavian",
        ),
        "endotracheal_tube": (
            "intubation, the tip of the endotracheal tube above the carina",
            "an endotracheal tube for ventilation",
        ),
        "chest_drain": ("a drain in the {side} chest", "an intercostal chest tube on the {side}"),
        "sternal_wires": ("wires of a median sternotomy", "wires in the sternum after bypass surgery, sternotomy"),
        "ecg_leads": ("leads and electrodes for ECG monitoring", "wires of ECG electrodes over the lungs"),
        "motion_blur": ("a blurred image, the patient had {sev} motion", "artifact of movement, {sev} blur"),
        "grid_lines": (
            "stripes from the grid, {sev}",
            "an artifact of parallel lines from the anti-scatter grid, {sev}",
        ),
        "quantum_mottle": ("a noisy and grainy image, {sev}", "mottle, {sev}, because the image is underexposed"),
        "necklace": ("a necklace the patient left on", "an artifact of metallic jewellery, a necklace with beads"),
        "lateral_view": ("positioning from the side, a lateral", "a lateral chest, the spine behind"),
        "rotated": (
            "a patient turned and rotated, {sev}, toward the {side}",
            "rotation to the {side}, {sev} in degree",
        ),
        "lordotic": ("a lordotic view of the apices", "lordotic angulation, apical positioning"),
        "tilted": ("a tilted image, {sev}, leaning {side}", "tilt to the {side} of the patient, {sev}"),
        "inverted": ("contrast that is inverted, bones black", "an inversion of grayscale with white lungs"),
        "screen_photo": (
            "a smartphone photograph of a computer monitor",
            "glare and moire from a phone photo of the screen",
        ),
        "washed_out": ("contrast that is low and faded, {sev}, another scanner", "a washed-out flat gray look, {sev}"),
        "film_digitiser": (
            "a film that was digitised, with scratches and label",
            "a scan of an old scratched film with a border",
        ),
    },
)
